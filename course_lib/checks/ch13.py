"""Checks of chapter 13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number


def _texts(value: Any) -> tuple[str, ...]:
    fits = isinstance(value, (tuple, list)) and all(isinstance(item, str) for item in value)
    if not fits:
        raise Wrong(SHAPE, f"return a list of texts, one for each token, not {value!r}.")
    return tuple(value)


def _places(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list, set)) or isinstance(value, str):
        raise Wrong(SHAPE, f"return a list of places such as [0, 2], not {value!r}.")
    return tuple(int(number(item)) for item in value)


# ---- 13.1 whole characters

Tokens = list[bytes]


def _whole(done: bytes) -> str:
    return done.decode("utf-8", "ignore")


def _pieces(tokens: Tokens) -> tuple[str, ...]:
    shown, pieces = "", []
    for end in range(1, len(tokens) + 1):
        text = _whole(b"".join(tokens[:end]))
        pieces.append(text[len(shown) :])
        shown = text
    return tuple(pieces)


def _alone(tokens: Tokens, errors: str) -> tuple[str, ...]:
    return tuple(token.decode("utf-8", errors) for token in tokens)


def _everything_again(tokens: Tokens) -> tuple[str, ...]:
    return tuple(_whole(b"".join(tokens[: end + 1])) for end in range(len(tokens)))


def _all_at_once(tokens: Tokens) -> tuple[str, ...]:
    return (*[""] * (len(tokens) - 1), _whole(b"".join(tokens)))


def _only_complete(tokens: Tokens) -> tuple[str, ...]:
    return tuple(piece for piece in _pieces(tokens) if piece)


def _replaced(tokens: Tokens) -> tuple[str, ...]:
    shown, pieces = "", []
    for end in range(1, len(tokens) + 1):
        text = b"".join(tokens[:end]).decode("utf-8", "replace")
        pieces.append(text[len(shown) :])
        shown = text
    return tuple(pieces)


_PIECE_CASES: list[Case] = [
    ([b"Thank", b" you", b"!"],),
    ([b"Good ", b"\xf0\x9f", b"\x91\x8d", b" bye"],),
    ([b"\xc3", b"\xa9t", b"\xc3\xa9", b"."],),
    ([b"\xe8", b"\xbf", b"\x99", b"\xe4\xb8"],),
    ([b"ok \xf0", b"\x9f\x98\x80!"],),
]
_PIECE_MISTAKES: dict[str, Mistake] = {
    "each token alone": (
        lambda tokens: _alone(tokens, "replace"),
        "each token is decoded by itself, so a character that spans two of them becomes two signs "
        "for broken text. Decode all bytes so far.",
    ),
    "bytes thrown away": (
        lambda tokens: _alone(tokens, "ignore"),
        "each token is decoded by itself and what is no whole character is ignored: such "
        "characters never appear. Keep their bytes until the rest has come.",
    ),
    "everything again": (
        _everything_again,
        "every piece holds the whole text so far. The page would show each word many times: give "
        "only what is new.",
    ),
    "all at once": (
        _all_at_once,
        "everything comes with the last token. That is no stream: give a character as soon as "
        "it is whole.",
    ),
    "empty pieces left out": (
        _only_complete,
        "tokens that complete no character are left out. Return one piece for each token, empty "
        "where nothing can be shown yet.",
    ),
    "broken signs shown": (
        _replaced,
        "half a character is shown as a sign for broken text, and then cannot be taken back. Hold "
        "it until its last byte is there.",
    ),
}


@exercise(
    "13.1",
    "Whole characters only",
    answer_name="pieces_to_show",
    difficulty=2,
    minutes=10,
    hints=(
        "keep all bytes so far, and how much of their text was shown already.",
        "bytes_so_far.decode('utf-8', 'ignore') leaves out a character whose end is missing.",
        "the piece is text[len(shown):]; afterwards shown = text.",
    ),
)
def check_pieces_to_show(answer: Callable[..., Any]) -> None:
    """Judges pieces_to_show(tokens): for each token's bytes the text that can be shown now."""
    judge(answer, _pieces, _PIECE_CASES, _PIECE_MISTAKES, _texts)


# ---- 13.2 what fits

Turns = list[tuple[str, int]]


def _size(turns: Turns, places: list[int]) -> int:
    return sum(turns[place][1] for place in places)


def _split(turns: Turns) -> tuple[list[int], list[int]]:
    system = [i for i, (role, _) in enumerate(turns) if role == "system"]
    return system, [i for i in range(len(turns)) if i not in system]


def _fitting(turns: Turns, room: int, stay: bool = True, user_first: bool = True) -> list[int]:
    system, rest = _split(turns)
    if not stay:
        system, rest = [], list(range(len(turns)))
    while _size(turns, [*system, *rest]) > room or (
        user_first and turns[rest[0]][0] == "assistant"
    ):
        rest = rest[1:]
    return sorted([*system, *rest])


def _kept(turns: Turns, room: int) -> tuple[int, ...]:
    return tuple(_fitting(turns, room))


def _gappy(turns: Turns, room: int) -> tuple[int, ...]:
    system, rest = _split(turns)
    kept = list(system)
    for place in reversed(rest):
        if _size(turns, [*kept, place]) <= room:
            kept.append(place)
    return tuple(sorted(kept))


def _oldest(turns: Turns, room: int) -> tuple[int, ...]:
    kept: list[int] = []
    for place in range(len(turns)):
        if _size(turns, [*kept, place]) > room:
            break
        kept.append(place)
    return tuple(kept)


def _free_system(turns: Turns, room: int) -> tuple[int, ...]:
    system, _ = _split(turns)
    return tuple(_fitting(turns, room + _size(turns, system)))


def _below(turns: Turns, room: int) -> tuple[int, ...]:
    return tuple(_fitting(turns, room - 1))


_FIT_CASES: list[Case] = [
    ([("system", 6), ("user", 4), ("assistant", 4), ("user", 4)], 13),
    ([("system", 4), ("user", 6), ("assistant", 7), ("user", 5)], 30),
    ([("system", 4), ("user", 6), ("assistant", 7), ("user", 5)], 16),
    ([("user", 9), ("assistant", 3), ("user", 4), ("assistant", 8), ("user", 5)], 20),
    (
        [("system", 5), ("user", 3), ("assistant", 20), ("user", 2), ("assistant", 6), ("user", 4)],
        17,
    ),
    ([("system", 5), ("user", 2), ("assistant", 9), ("user", 8)], 15),
    ([("user", 5), ("assistant", 5), ("user", 5)], 10),
    (
        [("system", 2), ("user", 4), ("assistant", 4), ("user", 8), ("assistant", 2), ("user", 1)],
        13,
    ),
]
_FIT_MISTAKES: dict[str, Mistake] = {
    "system prompt lost": (
        lambda turns, room: tuple(_fitting(turns, room, stay=False)),
        "the system turn goes with the oldest. It holds the rules of the whole conversation: it "
        "stays in front, and its tokens count.",
    ),
    "starts with a reply": (
        lambda turns, room: tuple(_fitting(turns, room, user_first=False)),
        "what is left can begin with a reply to a question that has gone. Drop that reply too: "
        "behind the system turn comes a user's turn.",
    ),
    "gaps": (
        _gappy,
        "short old turns are kept although a newer one was dropped. The model would read answers "
        "to other questions: keep an unbroken end of the conversation.",
    ),
    "the oldest kept": (
        _oldest,
        "the oldest turns are kept, and the newest dropped: the model would not see the question.",
    ),
    "system prompt not counted": (
        _free_system,
        "the tokens of the system turn are not counted, so the prompt grows longer than the room.",
    ),
    "one too few": (
        _below,
        "a conversation that fills the room exactly fits; yours loses a turn then. Compare with "
        "<=.",
    ),
}


@exercise(
    "13.2",
    "What fits",
    answer_name="kept_turns",
    difficulty=2,
    minutes=12,
    hints=(
        "begin with two lists of places: the system turns, which stay, and the rest.",
        "while the tokens of both together are more than the room, drop the first of the rest.",
        "the loop also goes on while the first of the rest is a turn of the assistant.",
    ),
)
def check_kept_turns(answer: Callable[..., Any]) -> None:
    """Judges kept_turns(turns, room): the places of the turns that stay, in order."""
    judge(answer, _kept, _FIT_CASES, _FIT_MISTAKES, _places)


# ---- 13.3 top-p

Odds = list[float]


def _nucleus(odds: Odds, p: float) -> tuple[int, ...]:
    kept: list[int] = []
    for place in sorted(range(len(odds)), key=lambda i: -odds[i]):
        if sum(odds[i] for i in kept) >= p:
            break
        kept.append(place)
    return tuple(sorted(kept))


def _stops_short(odds: Odds, p: float) -> tuple[int, ...]:
    kept: list[int] = []
    for place in sorted(range(len(odds)), key=lambda i: -odds[i]):
        if sum(odds[i] for i in [*kept, place]) > p:
            break
        kept.append(place)
    return tuple(sorted(kept))


def _unsorted(odds: Odds, p: float) -> tuple[int, ...]:
    kept: list[int] = []
    for place in range(len(odds)):
        if sum(odds[i] for i in kept) >= p:
            break
        kept.append(place)
    return tuple(kept)


def _above(odds: Odds, p: float) -> tuple[int, ...]:
    return tuple(i for i, odd in enumerate(odds) if odd >= p)


def _rest_below(odds: Odds, p: float) -> tuple[int, ...]:
    return tuple(i for i, odd in enumerate(odds) if odd >= 1 - p)


def _best_share(odds: Odds, p: float) -> tuple[int, ...]:
    return tuple(i for i, odd in enumerate(odds) if odd >= p * max(odds))


def _ranked(odds: Odds, p: float) -> tuple[int, ...]:
    kept = _nucleus(odds, p)
    return tuple(sorted(kept, key=lambda i: -odds[i]))


_NUCLEUS_CASES: list[Case] = [
    ([0.125, 0.5, 0.25, 0.0625, 0.0625], 0.8),
    ([0.0625, 0.1875, 0.75], 0.5),
    ([0.25, 0.4375, 0.3125], 0.74),
    ([0.3125, 0.375, 0.1875, 0.125], 0.9),
    ([0.1875, 0.3125, 0.0625, 0.4375], 1.0),
]
_NUCLEUS_MISTAKES: dict[str, Mistake] = {
    "the last one missing": (
        _stops_short,
        "you stop before the sum passes p. The token that carries the sum to p belongs to the set, "
        "or a first token with more than p would leave none at all.",
    ),
    "not sorted": (
        _unsorted,
        "you add up from the first token. Begin with the most probable one.",
    ),
    "a bar for each token": (
        _above,
        "you keep tokens whose own probability reaches p. It is their sum that has to.",
    ),
    "a bar of 1 - p": (
        _rest_below,
        "you keep tokens with a probability of 1 - p or more. It is the sum of the most probable "
        "ones that has to reach p.",
    ),
    "a share of the best": (
        _best_share,
        "you compare with p times the best probability. That is another method, min-p. Here the "
        "sum has to reach p.",
    ),
    "in order of probability": (
        _ranked,
        "the set is right. Return its places in order, the smallest first.",
    ),
}


@exercise(
    "13.3",
    "Top-p by hand",
    answer_name="nucleus",
    difficulty=1,
    minutes=8,
    hints=(
        "sorted(range(len(odds)), key=lambda i: -odds[i]) gives the places, likeliest first.",
        "go along them and add up; stop when the sum of those that you have is p or more.",
        "return sorted(kept).",
    ),
)
def check_nucleus(answer: Callable[..., Any]) -> None:
    """Judges nucleus(odds, p): the places of the fewest likeliest tokens that sum to p or more."""
    judge(answer, _nucleus, _NUCLEUS_CASES, _NUCLEUS_MISTAKES, _places)


# ---- 13.4 how fast

Times = list[float]


def _speed(asked: float, times: Times) -> tuple[float, float]:
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
    return times[0] - asked, rate


def _with_rate(rate: Callable[[float, Times], float]) -> Callable[[float, Times], Any]:
    return lambda asked, times: (times[0] - asked, rate(asked, times) if len(times) > 1 else 0.0)


_SPEED_CASES: list[Case] = [
    (10.0, [10.5, 10.6, 10.7, 10.8, 10.9]),
    (3.0, [3.2, 3.25, 3.4, 3.7]),
    (0.0, [0.4]),
    (100.0, [100.1, 100.2, 101.1]),
]
_SPEED_MISTAKES: dict[str, Mistake] = {
    "waiting counted": (
        _with_rate(lambda asked, times: len(times) / (times[-1] - asked)),
        "the wait for the first token is part of your rate. It depends on the prompt's length: "
        "count from the first token on.",
    ),
    "gaps and tokens mixed up": (
        _with_rate(lambda asked, times: len(times) / (times[-1] - times[0])),
        "between n tokens lie n - 1 gaps. The first token falls outside the time that you divide "
        "by, so it must not be counted.",
    ),
    "seconds a token": (
        _with_rate(lambda asked, times: (times[-1] - times[0]) / (len(times) - 1)),
        "that is seconds a token. Tokens a second is the inverse.",
    ),
    "mean of the rates": (
        _with_rate(
            lambda asked, times: (
                sum(1 / (b - a) for a, b in zip(times, times[1:], strict=False)) / (len(times) - 1)
            )
        ),
        "you average the rates of the gaps. One short gap then hides many long ones: divide all "
        "tokens by all seconds.",
    ),
    "the clock's time": (
        lambda asked, times: (times[0], _speed(asked, times)[1]),
        "the first number is what the clock said. Subtract the moment of the question.",
    ),
}


def _two_numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Wrong(SHAPE, f"return two numbers, (first, rate), not {value!r}.")
    return tuple(round(number(item), 9) for item in value)


def _rounded_speed(asked: float, times: Times) -> tuple[float, float]:
    first, rate = _speed(asked, times)
    return round(first, 9), round(rate, 9)


@exercise(
    "13.4",
    "How fast is a chat?",
    answer_name="speed_of",
    difficulty=1,
    minutes=6,
    hints=(
        "the wait is times[0] - asked.",
        "between the first and the last token lie len(times) - 1 tokens.",
        "with a single token there is no rate: return 0.0 for it.",
    ),
)
def check_speed_of(answer: Callable[..., Any]) -> None:
    """Judges speed_of(asked, times): seconds to the first token, tokens a second after it."""
    judge(answer, _rounded_speed, _SPEED_CASES, _SPEED_MISTAKES, _two_numbers)


# ---- 13.5 a click becomes a training row

Talk = list[tuple[str, str]]
Row = tuple[tuple[str, str, bool], ...]


def _row(talk: Talk, verdict: str, better: str) -> Row:
    role, said = talk[-1]
    text = better if verdict == "corrected" else said
    before = tuple((r, t, False) for r, t in talk[:-1])
    return (*before, (role, text, verdict != "disliked"))


def _every_reply(talk: Talk, verdict: str, better: str) -> Row:
    rows = _row(talk, verdict, better)
    return (*[(r, t, r == "assistant") for r, t, _ in rows[:-1]], rows[-1])


def _everything(talk: Talk, verdict: str, better: str) -> Row:
    return tuple((r, t, True) for r, t, _ in _row(talk, verdict, better))


def _both_kept(talk: Talk, verdict: str, better: str) -> Row:
    if verdict != "corrected":
        return _row(talk, verdict, better)
    return (*((r, t, False) for r, t in talk), ("assistant", better, True))


def _dislikes_trained(talk: Talk, verdict: str, better: str) -> Row:
    *before, (role, text, _) = _row(talk, verdict, better)
    return (*before, (role, text, True))


def _old_words(talk: Talk, verdict: str, better: str) -> Row:
    return _row(talk, "liked" if verdict == "corrected" else verdict, better)


def _always_better(talk: Talk, verdict: str, better: str) -> Row:
    *before, (role, _, train) = _row(talk, verdict, better)
    return (*before, (role, better, train))


def _likes_forgotten(talk: Talk, verdict: str, better: str) -> Row:
    *before, (role, text, _) = _row(talk, verdict, better)
    return (*before, (role, text, verdict == "corrected"))


_TALK = [("user", "Does it leak?"), ("assistant", "Yes."), ("user", "How much?")]
_ROW_CASES: list[Case] = [
    ([*_TALK, ("assistant", "A lot.")], "liked", ""),
    ([*_TALK, ("assistant", "A lot.")], "disliked", ""),
    ([*_TALK, ("assistant", "A lot.")], "corrected", "It does not leak."),
    ([("system", "Be kind."), ("user", "Hi"), ("assistant", "What?")], "corrected", "Hello!"),
    ([("user", "Hi"), ("assistant", "Hello!")], "liked", ""),
]
_ROW_MISTAKES: dict[str, Mistake] = {
    "earlier replies trained": (
        _every_reply,
        "the earlier replies are trained as well. Nobody has judged them, and a wrong one would be "
        "learned again: only the last reply may be trained.",
    ),
    "everything trained": (
        _everything,
        "every turn is trained, the customer's too. Only the last reply may be, and not if it was "
        "disliked.",
    ),
    "both replies kept": (
        _both_kept,
        "the wrong reply still stands before the better one. The model would learn to say both: "
        "the better one takes its place.",
    ),
    "dislikes trained": (
        _dislikes_trained,
        "a disliked reply is trained. The loss has no minus sign: it would make that reply "
        "likelier. Its train value is False.",
    ),
    "old words trained": (
        _old_words,
        "for a correction the old reply is trained. The better text takes its place.",
    ),
    "better text everywhere": (
        _always_better,
        "the better text replaces the reply also where there was no correction; it is empty then.",
    ),
    "likes forgotten": (
        _likes_forgotten,
        "a liked reply is not trained. Somebody said that it was good: train it.",
    ),
}


def _as_row(value: Any) -> Row:
    fits = isinstance(value, (tuple, list)) and all(
        isinstance(turn, (tuple, list)) and len(turn) == 3 for turn in value
    )
    if not fits:
        raise Wrong(SHAPE, f"return a list of (role, text, train), not {value!r}.")
    return tuple((str(role), str(text), bool(train)) for role, text, train in value)


@exercise(
    "13.5",
    "A click becomes a training row",
    answer_name="training_row",
    difficulty=2,
    minutes=10,
    hints=(
        "all turns but the last stay as they are, with train=False.",
        "the last one's text is `better` if the verdict is 'corrected', else what was said.",
        "its train value is verdict != 'disliked'.",
    ),
)
def check_training_row(answer: Callable[..., Any]) -> None:
    """Judges training_row(talk, verdict, better): the turns as (role, text, train)."""
    judge(answer, _row, _ROW_CASES, _ROW_MISTAKES, _as_row)
