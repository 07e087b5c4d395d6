"""`claim` stops a notebook whose sentence is no longer true, and refuses what is always true."""

from __future__ import annotations

import numpy as np
import pytest

from course_lib.checks import ClaimFailed, claim


@pytest.mark.parametrize("condition", [True, np.bool_(True), np.array(3) > np.array(2)])
def test_a_true_claim_prints_its_text(condition, capsys):
    claim("tuned beats base", condition)
    assert capsys.readouterr().out == "✓ tuned beats base\n"


@pytest.mark.parametrize("condition", [False, np.bool_(False)])
def test_a_false_claim_raises_with_text_and_what_it_saw(condition, capsys):
    with pytest.raises(ClaimFailed, match=r"tuned beats base \(saw: base = 2.5, tuned = 3.5\)"):
        claim("tuned beats base", condition, base=2.5, tuned=3.5)
    assert capsys.readouterr().out == ""


def test_a_false_claim_is_an_assertion_error():
    with pytest.raises(AssertionError, match="the condition was False"):
        claim("x", False)


@pytest.mark.parametrize(
    "condition", [(False, "a text"), "no", 1, 0, None, [], 0.7, np.array([True, True]), np.int64(1)]
)
def test_what_is_no_single_truth_value_is_refused(condition):
    with pytest.raises(TypeError, match="one True or False"):
        claim("always true", condition)


def test_a_torch_scalar_counts():
    torch = pytest.importorskip("torch")
    claim("two is more than one", torch.tensor(2) > torch.tensor(1))
    with pytest.raises(ClaimFailed):
        claim("one is more than two", torch.tensor(1) > torch.tensor(2))
    with pytest.raises(TypeError):
        claim("several", torch.tensor([True, False]))
