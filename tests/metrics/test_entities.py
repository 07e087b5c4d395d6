"""A span counts with its slot and both borders; seqeval's strict mode says the same."""

from __future__ import annotations

import numpy as np
import pytest

from course_lib.dialogue import Entity
from course_lib.metrics.entities import entity_f1, tag_f1, tag_spans

TRUE = [["B-a", "I-a", "O", "B-b"], ["O", "B-a"], ["B-b", "I-b"]]
SAID = [["B-a", "I-a", "O", "B-a"], ["O", "B-a"], ["B-b", "O"]]


def test_strict_spans_of_a_case_counted_by_hand():
    assert tag_f1(TRUE, SAID, "precision").value == pytest.approx(2 / 4)
    assert tag_f1(TRUE, SAID, "recall").value == pytest.approx(2 / 4)
    assert tag_f1(TRUE, SAID, "macro_f1").value == pytest.approx((2 * 2 / (2 + 3) + 0) / 2)
    assert tag_f1(TRUE, TRUE).value == 1


def test_tags_that_open_nothing_are_no_entity():
    assert tag_spans(["I-a", "B-a", "I-b", "I-a"]) == [("a", 1, 2)]
    assert tag_spans(["B-a", "B-a", "I-a"]) == [("a", 0, 1), ("a", 1, 3)]
    with pytest.raises(ValueError, match="give B-slot"):
        tag_spans(["S-a"])


def test_seqeval_strict_says_the_same():
    seqeval = pytest.importorskip("seqeval.metrics")
    from seqeval.scheme import IOB2

    rng = np.random.default_rng(0)
    tags = ["O", "B-a", "I-a", "B-b", "I-b"]
    true, said = ([rng.choice(tags, 12).tolist() for _ in range(30)] for _ in range(2))
    expected = seqeval.f1_score(true, said, mode="strict", scheme=IOB2)
    assert tag_f1(true, said).value == pytest.approx(expected)


def test_a_plain_reference_says_the_same():
    """Spans read by the one rule: B- opens, as many I- of its slot as follow belong to it."""
    import re

    def spans(tags):
        text = "".join(t[0] + t[2:] if t != "O" else "O_" for t in tags)
        return {
            (m.group(1), m.start() // 2, m.end() // 2) for m in re.finditer(r"B(.)(?:I\1)*", text)
        }

    rng = np.random.default_rng(1)
    tags = ["O", "B-a", "I-a", "B-b", "I-b"]
    true, said = ([rng.choice(tags, 12).tolist() for _ in range(40)] for _ in range(2))
    right = sum(len(spans(t) & spans(s)) for t, s in zip(true, said, strict=True))
    both = sum(len(spans(x)) for side in (true, said) for x in side)
    assert tag_f1(true, said).value == pytest.approx(2 * right / both)


def test_entities_of_messages():
    one, moved = Entity("p", 0, 3, "abc", "abc"), Entity("p", 0, 2, "ab", "abc")
    assert entity_f1([[one]], [[one]]).value == 1
    assert entity_f1([[one]], [[moved]]).value == 0
    assert entity_f1([[one]], [[("p", 0, 3)]]).value == 1
    assert entity_f1([[], []], [[], []]).value == 0  # nothing to find, nothing found
    found = entity_f1([[one]] * 6, [[one], [moved]] * 3)
    assert found.interval(list("aabbcc")).low == found.value == 0.5


def test_wrong_forms_are_told():
    with pytest.raises(ValueError, match="text 0: 2 true tags and 1 said"):
        tag_f1([["O", "O"]], [["O"]])
    with pytest.raises(ValueError, match="1 texts with true spans and 2"):
        entity_f1([[]], [[], []])
    with pytest.raises(ValueError, match="choose from"):
        entity_f1([[]], [[]], "lenient")
