"""Exercises of chapter 10: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch10

EXERCISES = {
    "10.1": (ch10._next_act, ch10._ACT_CASES, ch10._ACT_MISTAKES),
    "10.2": (ch10._ask_scores, ch10._SCORE_CASES, ch10._SCORE_MISTAKES),
    "10.3": (ch10._pass_hat_k, ch10._PASS_CASES, ch10._PASS_MISTAKES),
    "10.4": (ch10._gain, ch10._GAIN_CASES, ch10._GAIN_MISTAKES),
    "10.5": (ch10._pair_loss, ch10._PAIR_CASES, ch10._PAIR_MISTAKES),
}


def test_the_librarys_advantages_pass():
    pytest.importorskip("torch")
    from course_lib.policy.reinforce import advantages

    assert ch10.check_advantages(advantages).passed


def test_the_librarys_loss_of_a_pair_passes():
    torch = pytest.importorskip("torch")
    from course_lib.policy.preferences import dpo_loss

    def answer(*arguments):
        *sides, beta = arguments
        return dpo_loss(*(torch.tensor([s], dtype=torch.float64) for s in sides), beta)[0]

    assert ch10.check_pair_loss(answer).passed


def test_scores_may_come_as_an_array():
    numpy = pytest.importorskip("numpy")
    assert ch10.check_ask_scores(lambda turns: numpy.array(ch10._ask_scores(turns))).passed
    assert ch10.check_ask_scores(lambda turns: list(ch10._ask_scores(turns))).passed


def test_scikit_learn_agrees():
    metrics = pytest.importorskip("sklearn.metrics")

    def answer(turns):
        due, asked = zip(*turns, strict=True)
        return (
            metrics.precision_score(due, asked, zero_division=0),
            metrics.recall_score(due, asked, zero_division=0),
        )

    assert ch10.check_ask_scores(answer).passed


@pytest.mark.parametrize("outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None]])
def test_strange_values_do_not_raise(outcome):
    for check in (
        ch10.check_next_act,
        ch10.check_ask_scores,
        ch10.check_pass_hat_k,
        ch10.check_advantages,
        ch10.check_pair_loss,
    ):
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
