"""Exercises of chapter 04: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch04

EXERCISES = {
    "4.1": (ch04._best_pair, ch04._PAIR_CASES, ch04._PAIR_MISTAKES),
    "4.2": (ch04._cut, ch04._CUT_CASES, ch04._CUT_MISTAKES),
    "4.3": (ch04._write, ch04._WRITE_CASES, ch04._WRITE_MISTAKES),
    "4.4": (ch04._first_skew, ch04._SKEW_CASES, ch04._SKEW_MISTAKES),
    "4.5": (ch04._prefix_mask, ch04._MASK_CASES, ch04._MASK_MISTAKES),
}
CHECKS = (
    ch04.check_best_pair,
    ch04.check_cut_word,
    ch04.check_render,
    ch04.check_first_skew,
    ch04.check_mask_by_prefixes,
)


def test_the_tokenizers_own_cutting_passes():
    from tokenizers import models

    def answer(word, merges):
        pieces = sorted({*word, *(s for pair in merges for s in (*pair, pair[0] + pair[1]))})
        pieces += sorted({c for piece in pieces for c in piece} - set(pieces))
        bpe = models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges)
        return [token.value for token in bpe.tokenize(word)]

    assert ch04.check_cut_word(answer).passed


def test_the_courses_template_passes(tokenizer):
    def answer(turns, waits):
        messages = [{"role": role, "content": text} for role, text in turns]
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=waits)

    assert ch04.check_render(answer).passed


def test_a_mask_in_numpy_passes():
    numpy = pytest.importorskip("numpy")

    def answer(whole, replies):
        mask = numpy.zeros(len(whole), dtype=bool)
        for prompt, ended in replies:
            if whole[: len(prompt)] != prompt or whole[: len(ended)] != ended:
                return numpy.zeros(0, dtype=bool)
            mask[len(prompt) : len(ended)] = True
        return mask

    assert ch04.check_mask_by_prefixes(answer).passed


def test_a_place_in_numpy_and_a_pair_as_a_list_pass():
    numpy = pytest.importorskip("numpy")
    assert ch04.check_first_skew(lambda t, p: numpy.int64(ch04._first_skew(t, p))).passed
    assert ch04.check_best_pair(lambda words: list(ch04._best_pair(words))).passed


def test_an_unknown_mistake_is_shown_by_its_case():
    text = repr(ch04.check_cut_word(lambda word, merges: [word]))
    assert "'lower'" in text and "('lower',), not ('low', 'er')" in text


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], float("nan")]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.number)
def test_three_hints_each(check):
    assert len(check.hints) == 3
