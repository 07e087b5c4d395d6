"""Exercise 0.1: other right answers pass, and the messages name place and mistake."""

from __future__ import annotations

import pytest

from course_lib.checks.ch00 import _EXPLAIN, _MISTAKES, check_loss_mask


def as_ints(pieces):
    ids = [t for _, piece in pieces for t in piece]
    return ids, [int(role == "assistant") for role, piece in pieces for _ in piece]


def as_lists(pieces):
    return list(as_ints(pieces))


def as_tensors(pieces):
    torch = pytest.importorskip("torch")
    ids, mask = as_ints(pieces)
    return torch.tensor(ids), torch.tensor(mask).bool()


@pytest.mark.parametrize("answer", [as_ints, as_lists, as_tensors])
def test_right_answers_of_other_types_pass(answer):
    assert check_loss_mask(answer).passed


def test_every_mistake_is_explained():
    assert set(_MISTAKES) == set(_EXPLAIN)


def test_an_unknown_mistake_is_shown_by_its_first_place():
    def first_two(pieces):
        ids, mask = as_ints(pieces)
        return ids, [1, 1, *mask[2:]]

    text = repr(check_loss_mask(first_two))
    assert "mask[0] is True" in text and "turn of the user" in text


def test_strange_values_do_not_raise():
    for outcome in (3, "text", (1, 2), ([1], "x"), {"ids": 1}, ([[1]], [[True]])):
        assert check_loss_mask(lambda pieces, outcome=outcome: outcome).state == "wrong"
