"""Exercises of chapter 03: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch03

EXERCISES = {
    "3.1": (ch03._kappa, ch03._KAPPA_CASES, ch03._KAPPA_MISTAKES),
    "3.2": (ch03._bio, ch03._BIO_CASES, ch03._BIO_MISTAKES),
    "3.3": (ch03._macro, ch03._MACRO_CASES, ch03._MACRO_MISTAKES),
    "3.4": (ch03._threshold, ch03._THRESHOLD_CASES, ch03._THRESHOLD_MISTAKES),
    "3.5": (ch03._keep, ch03._BUDGET_CASES, ch03._BUDGET_MISTAKES),
}
CHECKS = (
    ch03.check_kappa,
    ch03.check_bio_tags,
    ch03.check_macro_f1,
    ch03.check_choose,
    ch03.check_keep,
)


def test_the_librarys_kappa_passes():
    pytest.importorskip("sklearn")
    from course_lib.annotation.agreement import cohens_kappa

    def answer(table):
        cells = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
        return cohens_kappa(*zip(*cells, strict=True))

    assert ch03.check_kappa(answer).passed


def test_the_librarys_tags_pass():
    from course_lib.annotation import to_bio
    from course_lib.dialogue import Entity

    def answer(tokens, spans):
        return tuple(to_bio([Entity(*span, "", "") for span in spans], tokens)[0])

    assert ch03.check_bio_tags(answer).passed


def test_the_librarys_macro_f1_passes():
    numpy = pytest.importorskip("numpy")
    from course_lib.annotation.scores import macro_f1

    assert ch03.check_macro_f1(lambda counts: macro_f1(numpy.array([*counts.values()]))).passed


def test_the_librarys_budget_passes():
    from course_lib.annotation import fit_budget
    from course_lib.dialogue import Message

    def answer(sizes, task, budget):
        """The library's task is the system turn, the opening turn and the last message."""
        if task not in ([0, len(sizes) - 1], [0, 1, len(sizes) - 1]):
            return list(ch03._keep(sizes, task, budget))
        messages = [Message("assistant", str(i)) for i in range(len(sizes))]
        messages[0].role = "system"
        if 1 in task:
            messages[1].role = "user"
        kept = fit_budget(messages, budget, lambda message: sizes[int(message.content)])
        return [int(message.content) for message in kept]

    assert sum(case[1] in ([0, len(case[0]) - 1], [0, 1, len(case[0]) - 1]) for case in
               ch03._BUDGET_CASES) == 3  # fmt: skip
    assert ch03.check_keep(answer).passed


def test_a_threshold_in_numpy_passes():
    numpy = pytest.importorskip("numpy")

    def answer(confidence, outside, candidates, rate):
        sure, mark = numpy.array(confidence), numpy.array(outside)
        best, most = 0.0, -1
        for threshold in sorted(candidates):
            said = sure < threshold
            if (said & ~mark).sum() / (~mark).sum() <= rate and (said & mark).sum() > most:
                best, most = threshold, (said & mark).sum()
        return numpy.float64(best)

    assert ch03.check_choose(answer).passed


def test_an_unknown_mistake_is_shown_by_its_case():
    text = repr(ch03.check_keep(lambda sizes, task, budget: [0]))
    assert "[6, 8, 9, 5, 12, 4, 7]" in text and "gives (0,), not (0, 1, 5, 6)" in text


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], float("nan")]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.number)
def test_three_hints_each(check):
    assert len(check.hints) == 3
