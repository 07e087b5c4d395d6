"""Exercises of chapter 13: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import codecs

import pytest

from course_lib.checks import ch13

EXERCISES = {
    "13.1": (ch13._pieces, ch13._PIECE_CASES, ch13._PIECE_MISTAKES),
    "13.2": (ch13._kept, ch13._FIT_CASES, ch13._FIT_MISTAKES),
    "13.3": (ch13._nucleus, ch13._NUCLEUS_CASES, ch13._NUCLEUS_MISTAKES),
    "13.4": (ch13._rounded_speed, ch13._SPEED_CASES, ch13._SPEED_MISTAKES),
    "13.5": (ch13._row, ch13._ROW_CASES, ch13._ROW_MISTAKES),
}
CHECKS = (
    ch13.check_pieces_to_show,
    ch13.check_kept_turns,
    ch13.check_nucleus,
    ch13.check_speed_of,
    ch13.check_training_row,
)


def test_pythons_own_incremental_decoder_passes():
    def answer(tokens):
        decoder = codecs.getincrementaldecoder("utf-8")()
        return [decoder.decode(token) for token in tokens]

    assert ch13.check_pieces_to_show(answer).passed


def test_the_librarys_nucleus_passes():
    torch = pytest.importorskip("torch")
    from transformers import TopPLogitsWarper

    def answer(odds, p):
        if p == 1:
            return list(range(len(odds)))
        scores = TopPLogitsWarper(p)(None, torch.tensor([odds], dtype=torch.float64).log())
        return [i for i, score in enumerate(scores[0].tolist()) if score > float("-inf")]

    assert ch13.check_nucleus(answer).passed


def test_the_courses_speed_passes(monkeypatch):
    from course_lib import reply_speed

    def answer(asked, times):
        clock = iter([asked, *times])
        monkeypatch.setattr(reply_speed.time, "perf_counter", lambda: next(clock))
        speed = reply_speed.Speed()
        list(reply_speed.timed(["x"] * len(times), speed))
        return speed.first, speed.rate

    assert ch13.check_speed_of(answer).passed


def test_the_courses_judged_dialogue_passes():
    from course_lib.feedback import judged

    def answer(talk, verdict, better):
        last = [("assistant", better)] if verdict == "corrected" else talk[-1:]
        turns = [{"role": r, "content": t} for r, t in [*talk[:-1], *last]]
        dialogue = judged("d", turns, verdict, trained=verdict != "disliked")
        return [[m.role, m.content, m.train] for m in dialogue.messages]

    assert ch13.check_training_row(answer).passed


def test_places_in_numpy_pass():
    numpy = pytest.importorskip("numpy")
    assert ch13.check_kept_turns(lambda t, r: [numpy.int64(i) for i in ch13._kept(t, r)]).passed


def test_an_unknown_mistake_is_shown_by_its_case():
    text = repr(ch13.check_nucleus(lambda odds, p: [0]))
    assert "[0.125, 0.5" in text and "(0,), not (0, 1, 2)" in text


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], float("nan")]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.number)
def test_three_hints_each(check):
    assert len(check.hints) == 3
