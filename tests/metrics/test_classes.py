"""Precision, recall, F1 are scikit-learn's, whether an item has one label or several."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs
from sklearn.preprocessing import MultiLabelBinarizer

from course_lib.metrics import classes

RNG = np.random.default_rng(0)
TRUE = RNG.choice(list("abc"), 80).tolist()
SAID = [t if RNG.random() < 0.6 else RNG.choice(list("abcd")) for t in TRUE]


def test_one_label_an_item():
    assert classes.accuracy(TRUE, SAID).value == pytest.approx(theirs.accuracy_score(TRUE, SAID))
    micro = theirs.f1_score(TRUE, SAID, average="micro")
    assert classes.f1(TRUE, SAID, average="micro").value == pytest.approx(micro)
    macro = theirs.f1_score(TRUE, SAID, labels=list("abc"), average="macro")
    assert classes.f1(TRUE, SAID).value == pytest.approx(macro)
    for label in "abc":
        options = {"labels": [label], "average": "micro"}
        for ours, their in (
            (classes.f1, theirs.f1_score),
            (classes.precision, theirs.precision_score),
            (classes.recall, theirs.recall_score),
        ):
            assert ours(TRUE, SAID, label=label).value == pytest.approx(
                their(TRUE, SAID, **options)
            )
    whole = classes.label_scores(TRUE, SAID)
    assert whole.macro_f1 == pytest.approx(macro)
    labels, counts = classes.confusion(TRUE, SAID)
    assert counts.tolist() == theirs.confusion_matrix(TRUE, SAID, labels=labels).tolist()


def test_several_labels_an_item():
    sets = [[{x for x in "abc" if RNG.random() < 0.4} for _ in range(60)] for _ in range(2)]
    rows = [MultiLabelBinarizer(classes=list("abc")).fit_transform(side) for side in sets]
    for average in ("micro", "macro"):
        expected = theirs.f1_score(*rows, average=average)
        assert classes.f1(*sets, average=average).value == pytest.approx(expected)
    assert classes.accuracy(*sets).value == pytest.approx(theirs.accuracy_score(*rows))


def test_true_comes_first():
    true, said = ["a", "a", "b"], ["a", "b", "b"]
    assert classes.precision(true, said, label="a").value == 1
    assert classes.recall(true, said, label="a").value == 0.5


def test_nothing_said_is_zero_and_has_an_interval():
    found = classes.precision([{"x"}, set()], [set(), set()], label="x")
    assert found.value == 0
    assert found.interval(["d", "e"]).high == 0


def test_intervals_and_pairs_over_dialogues():
    groups = [i // 4 for i in range(80)]
    found = classes.f1(TRUE, SAID)
    assert found.interval(groups).low < found.value < found.interval(groups).high
    against = classes.f1(TRUE, TRUE).against(found, groups)
    assert against.difference.low > 0
    assert against.p < 0.01
    for average in ("macro", "micro"):  # one system says "d", the other never
        better, worse = (classes.f1(TRUE, said, average=average) for said in (TRUE, SAID))
        gap = better.value - worse.value
        assert better.against(worse, groups).difference.value == pytest.approx(gap)


def test_wrong_forms_are_told():
    with pytest.raises(TypeError, match="true: one text"):
        classes.f1("ab", ["a", "b"])
    with pytest.raises(ValueError, match="2 true labels and 1 said"):
        classes.f1(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="choose from macro, micro"):
        classes.f1(["a"], ["a"], average="weighted")
