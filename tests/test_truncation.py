"""Truncation: what each strategy keeps and cuts, counted; nothing silent reaches the loss."""

from __future__ import annotations

import random

import pytest

from course_lib import truncation
from course_lib.chat_format import Encoded, assert_trained, encode_all
from course_lib.dialogue import Dialogue
from course_lib.truncation import STRATEGIES, has_loss, truncate, truncate_all


def dialogue(*turns: tuple[str, int], name: str = "d", bos: bool = True) -> Encoded:
    """Turns of so many tokens, their role token included; the ids count from 0."""
    encoded = Encoded([0] if bos else [], [False] if bos else [], name)
    for role, size in turns:
        start = len(encoded.mask)
        encoded.mask += [False] + [role == "assistant"] * (size - 1)
        encoded.turns.append((start, start + size))
    encoded.ids = list(range(len(encoded.mask)))
    return encoded


LONG = dialogue(("user", 5), ("assistant", 4), ("user", 3), ("assistant", 6))  # 1 + 18 tokens


def kept_places(limit: int, strategy: str) -> list[list[int]]:
    return [piece.ids for piece in truncate_all([LONG], limit, strategy)[0]]


@pytest.mark.parametrize(
    ("strategy", "pieces", "answers"),
    [
        ("oldest_turns", [[0, *range(10, 19)]], (1, 0, 1)),
        ("windows", [[*range(0, 10)], [0, *range(10, 19)]], (2, 0, 0)),
        ("set_aside", [], (0, 0, 2)),
        ("left", [[*range(9, 19)]], (1, 0, 1)),
        ("right", [[*range(0, 10)]], (1, 0, 1)),
    ],
)
def test_each_strategy_on_one_dialogue(strategy, pieces, answers):
    assert kept_places(10, strategy) == pieces
    report = truncate_all([LONG], 10, strategy)[1]
    assert (report.answers_whole, report.answers_cut, report.answers_lost) == answers
    assert len(report.set_aside) == (strategy == "set_aside")


def test_a_cut_from_the_right_loses_the_end_token():
    """What plain libraries do: the reply has no end, so the model learns not to stop."""
    (piece,), report = truncate_all([LONG], 16, "right")
    assert piece.trained_ids == [7, 8, 9, 14, 15]
    assert (report.answers_whole, report.answers_cut, report.answers_lost) == (1, 1, 0)


def test_a_cut_from_the_left_trains_a_reply_without_its_beginning():
    (piece,), report = truncate_all([LONG], 12, "left")
    assert piece.ids == list(range(7, 19))
    assert piece.trained_ids == [8, 9, *range(14, 19)]  # no loss on the first token of a row
    assert (report.answers_whole, report.answers_cut, report.answers_lost) == (1, 1, 0)


def random_dialogue(rng: random.Random, number: int) -> Encoded:
    roles = [rng.choice(("user", "assistant", "system")) for _ in range(rng.randint(1, 9))]
    turns = [(role, rng.randint(2, 30)) for role in roles]
    return dialogue(*turns, name=str(number), bos=rng.random() < 0.5)


@pytest.fixture(scope="module")
def many() -> list[Encoded]:
    rng = random.Random(1)
    return [random_dialogue(rng, number) for number in range(300)]


def answers_in(encoded: Encoded) -> list[list[int]]:
    """Of every trained reply, the trained ids."""
    ranges = [range(*turn) for turn in encoded.turns]
    found = [[encoded.ids[i] for i in turn if encoded.mask[i]] for turn in ranges]
    return [answer for answer in found if answer]


@pytest.mark.parametrize("limit", [8, 21, 40, 64, 300])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_piece_fits_and_has_a_loss_and_every_answer_is_counted(many, strategy, limit):
    pieces, report = truncate_all(many, limit, strategy)
    assert all(len(piece) <= limit and has_loss(piece) for piece in pieces)
    assert all(len(piece.ids) == len(piece.mask) for piece in pieces)
    assert report.kept + len(report.set_aside) == len(many)
    assert report.pieces == len(pieces)
    answers = sum(len(answers_in(encoded)) for encoded in many)
    assert report.answers_whole + report.answers_cut + report.answers_lost == answers
    trained = sum(sum(piece.mask) for piece in pieces)
    before = {piece.dialogue_id for piece in pieces}
    assert report.trained_tokens_cut == (
        sum(sum(encoded.mask) for encoded in many if encoded.dialogue_id in before) - trained
    )


@pytest.mark.parametrize("strategy", ["oldest_turns", "windows", "set_aside"])
@pytest.mark.parametrize("limit", [8, 21, 40])
def test_these_never_cut_an_answer(many, strategy, limit):
    whole = {e.dialogue_id: answers_in(e) for e in many}
    pieces, report = truncate_all(many, limit, strategy)
    assert report.answers_cut == 0
    for piece in pieces:
        assert all(answer in whole[piece.dialogue_id] for answer in answers_in(piece))


@pytest.mark.parametrize("strategy", ["left", "right"])
def test_a_plain_cut_does(many, strategy):
    assert truncate_all(many, 21, strategy)[1].answers_cut > 20


def _not_counted(report, encoded, pieces):
    """What is too long goes without a trace in the counts."""
    if pieces:
        _count(report, encoded, pieces)


_count = truncation._count


def test_an_answer_that_goes_uncounted_is_noticed(many, monkeypatch):
    check = test_every_piece_fits_and_has_a_loss_and_every_answer_is_counted
    monkeypatch.setattr(truncation, "_count", _not_counted)
    with pytest.raises(AssertionError):
        check(many, "set_aside", 21)


def test_an_answer_that_is_replaced_is_noticed(many, monkeypatch):
    """The mutant: a row of the wished length, whatever it holds, for what is too long."""
    filler = Encoded([0, 1], [False, True], "filler", [(0, 2)])
    monkeypatch.setitem(STRATEGIES, "set_aside", (lambda encoded, limit: [filler], ""))
    with pytest.raises(AssertionError):
        test_these_never_cut_an_answer(many, "set_aside", 21)


def test_windows_lose_only_what_is_too_long_and_train_nothing_twice(many):
    limit = 21
    pieces, report = truncate_all(many, limit, "windows")
    answers = [answer for encoded in many for answer in answers_in(encoded)]
    assert report.answers_lost <= sum(len(answer) > limit - 2 for answer in answers)
    trained = [(piece.dialogue_id, token) for piece in pieces for token in piece.trained_ids]
    assert len(trained) == len(set(trained))
    assert report.answers_lost < truncate_all(many, limit)[1].answers_lost


def test_pieces_point_at_their_own_turns(many):
    for piece in truncate_all(many, 21, "windows")[0]:
        ends = [end for _, end in piece.turns]
        starts = [start for start, _ in piece.turns]
        assert ends[-1] == len(piece) and starts[1:] == ends[:-1]


def test_what_cannot_be_fitted_is_set_aside_with_its_reason():
    short = dialogue(("user", 4), ("assistant", 5), name="short")
    long = dialogue(("user", 30), ("assistant", 60), name="long answer")
    silent = dialogue(("user", 3), name="silent")
    reasons = {}
    for strategy in STRATEGIES:
        kept, report = truncate_all([short, long, silent], 30, strategy)
        assert kept[0] is short and report.kept + len(report.set_aside) == 3
        reasons[strategy] = dict(report.set_aside).get("long answer")
        assert dict(report.set_aside)["silent"] == (
            "no trained token: it has no assistant reply to learn from"
        )
    assert reasons == {
        "oldest_turns": "its last reply alone is longer than 30 tokens",
        "windows": "each of its replies alone is longer than 30 tokens",
        "set_aside": "it is longer than 30 tokens",
        "left": None,  # it keeps an answer without its beginning
        "right": "no trained token is left within 30 tokens",
    }


def test_a_lone_first_token_has_no_loss():
    """Nothing stands before it, so nothing predicts it: such a row would be 0/0."""
    only = Encoded([5, 6], [True, False], "only", [(0, 2)])
    assert not has_loss(only)
    assert truncate_all([only], 10)[0] == []


def test_an_unknown_strategy_is_named():
    with pytest.raises(ValueError, match=r"'middle': choose from oldest_turns, windows"):
        truncate_all([LONG], 10, "middle")


def test_truncation_keeps_the_last_answer_whole(three_dialogues, tokenizer):
    encoded = encode_all(three_dialogues, tokenizer)[0]
    whole = tokenizer.decode(encoded.trained_ids)
    for limit in range(8, len(encoded)):
        short = truncate(encoded, limit)
        if short is not None:
            assert len(short) <= limit
            assert short.ids[0] == tokenizer.bos_token_id
            trained = tokenizer.decode(short.trained_ids)
            assert whole.endswith(trained)
            assert trained.startswith(("It is two years.", "39 euros."))


def assert_last_replies_trained(dialogues, tokenizer) -> None:
    """However short a dialogue is cut, it trains its last replies, whole, and nothing else."""
    for dialogue, encoded in zip(dialogues, encode_all(dialogues, tokenizer), strict=True):
        replies = [m for m in dialogue.messages if m.role == "assistant" and m.train]
        for limit in range(8, len(encoded)):
            for piece in truncate_all([encoded], limit)[0]:
                left = sum(any(piece.mask[slice(*turn)]) for turn in piece.turns)
                last = Dialogue(dialogue.id, replies[-left:])
                assert_trained(piece.trained_ids, [last], tokenizer)


_window = truncation._window


def _mask_stays_behind(encoded, start, end, head=0, cut_answers="context"):
    piece = _window(encoded, start, end, head)
    piece.mask = encoded.mask[: len(piece.ids)]
    return piece


def _trains_half_a_reply(encoded, start, end, head=0, cut_answers="context"):
    return _window(encoded, start, end, head, cut_answers="train")


def test_what_a_cut_leaves_trains_whole_replies(three_dialogues, tokenizer):
    assert_last_replies_trained(three_dialogues, tokenizer)


@pytest.mark.parametrize("breaks", [_mask_stays_behind, _trains_half_a_reply])
def test_a_mask_that_a_cut_breaks_is_noticed(three_dialogues, tokenizer, monkeypatch, breaks):
    monkeypatch.setattr(truncation, "_window", breaks)
    with pytest.raises(AssertionError, match="not the assistant's replies"):
        assert_last_replies_trained(three_dialogues, tokenizer)


def test_truncation_counts_what_it_cuts(three_dialogues, tokenizer):
    encoded = encode_all(three_dialogues, tokenizer)
    kept, report = truncate_all(encoded, 30)
    before = sum(len(e) for e in encoded if e.dialogue_id in {k.dialogue_id for k in kept})
    assert report.tokens_cut == before - sum(len(k) for k in kept) > 0
    assert report.trained_tokens_cut > 0
    assert str(report).startswith(f"{report.kept} kept ({report.shortened} shortened by ")


def test_a_reply_that_lost_its_beginning_is_context_only():
    two_replies = Encoded(
        list(range(30)), [False] * 2 + [True] * 28, "two", [(0, 2), (2, 20), (20, 30)]
    )
    short = truncate(two_replies, 15)
    assert short is not None
    assert short.trained_ids == list(range(20, 30))


@pytest.mark.parametrize("strategy", ["oldest_turns", "windows"])
def test_real_answers_stay_whole(samples, tokenizer, strategy):
    from course_lib.sources import read_source

    dialogues = list(read_source("abcd", samples / "abcd" / "abcd_sample.json"))[:30]
    encoded = encode_all(dialogues, tokenizer)
    replies = {d.id: {m.content for m in d.messages if m.role == "assistant"} for d in dialogues}
    pieces, report = truncate_all(encoded, 200, strategy)
    assert report.answers_cut == 0 < report.answers_whole
    for piece in pieces:
        said = tokenizer.decode(piece.trained_ids).split("<|end|>")
        assert said.pop() == ""
        assert all(reply in replies[piece.dialogue_id] for reply in said)
