"""Checks of chapter 02."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

# ---- 2.1 the check digit of a card


def _digits(text: str) -> list[int]:
    return [int(sign) for sign in text if sign.isdigit()]


def _sum(digits: Sequence[int], first: int = 1, *, take_nine: bool = True) -> int:
    """Luhn's sum over digits in reading order; every second one is doubled, from place `first`."""
    total = 0
    for place, digit in enumerate(digits):
        if place % 2 == first % 2:
            digit = 2 * digit - (9 if take_nine and digit > 4 else 0)
        total += digit
    return total


def _luhn(text: str) -> bool:
    return _sum(_digits(text)[::-1]) % 10 == 0


_LUHN_CASES: list[Case] = [
    ("4111 1111 1111 1111",),
    ("4111 1111 1111 1112",),
    ("3782-822463-10005",),  # 15 digits: left and right start at different places
    ("378282246310006",),
    ("5555555555554444",),
    ("5555555555554440",),
    ("30569309025904",),
    ("6011 0009 9013 9424",),
    ("6011 0009 9013 9442",),
    ("1234567890",),
    ("79927398713",),
    ("79927398710",),
]
_LUHN_MISTAKES: dict[str, Mistake] = {
    "from the left": (
        lambda t: _sum(_digits(t)) % 10 == 0,
        "the doubling starts at the left. For a number with an odd count of digits other digits "
        "are doubled then. Count from the right: the last digit is never doubled.",
    ),
    "the other digits doubled": (
        lambda t: _sum(_digits(t)[::-1], 0) % 10 == 0,
        "the last digit is doubled, and so are the wrong ones with it. Start at the one before it.",
    ),
    "nine not taken off": (
        lambda t: _sum(_digits(t)[::-1], take_nine=False) % 10 == 0,
        "a doubled digit above 9 stays as it is. Take 9 off it (16 becomes 7).",
    ),
    "nothing doubled": (
        lambda t: sum(_digits(t)) % 10 == 0,
        "that is the plain sum of the digits. Every second one has to be doubled first.",
    ),
    "spaces counted": (
        lambda t: (
            sum(
                2 * d - 9 * (d > 4) if place % 2 else d
                for place, sign in enumerate(reversed(t))
                if sign.isdigit()
                for d in [int(sign)]
            )
            % 10
            == 0
        ),
        "spaces and hyphens are skipped, but they count as places. Take them out first.",
    ),
    "length alone": (
        lambda t: 13 <= len(_digits(t)) <= 19,
        "that looks at the number of digits only. A parcel's number is as long as a card's.",
    ),
    "the wrong way round": (
        lambda t: not _luhn(t),
        "it is True for the numbers that fail. The sum must be divisible by 10.",
    ),
}


def _truth(value: Any) -> bool:
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, bool):
        raise Wrong(SHAPE, f"return True or False, not {type(value).__name__}.")
    return value


@exercise(
    "2.1",
    "The check digit of a card",
    answer_name="passes_luhn",
    difficulty=1,
    minutes=8,
    hints=(
        "first keep the digits only: digits = [int(c) for c in number if c.isdigit()].",
        "digits[::-1] is the list from the right; in it the digits to double stand at the places "
        "1, 3, 5 ...",
        "total = sum(digits[-1::-2]) + sum(2 * d - 9 * (d > 4) for d in digits[-2::-2])",
    ),
)
def check_passes_luhn(answer: Callable[..., Any]) -> None:
    """Judges passes_luhn(number): whether a number's last digit is right by Luhn's sum."""
    judge(answer, _luhn, _LUHN_CASES, _LUHN_MISTAKES, _truth)


# ---- 2.2 turns in order

Turns = list[tuple[str, str]]
Frozen = tuple[tuple[str, str], ...]


def _full(turns: Turns) -> Turns:
    return [(role, text) for role, text in turns if text.strip()]


def _joined(turns: Turns, joined: tuple[str, ...] = ("user",), glue: str = " ") -> Frozen:
    made: Turns = []
    for role, run in groupby(turns, key=lambda turn: turn[0]):
        texts = [text for _, text in run]
        made += [(role, glue.join(texts))] if role in joined else [(role, text) for text in texts]
    return tuple(made)


def _tidy(turns: Turns) -> Frozen:
    return _joined(_full(turns))


def _one_of_each_run(turns: Turns, which: int) -> Frozen:
    made: Turns = []
    for role, run in groupby(_full(turns), key=lambda turn: turn[0]):
        same = list(run)
        made += [same[which]] if role == "user" else same
    return tuple(made)


def _in_pairs(turns: Turns) -> Frozen:
    made: Turns = []
    fresh = False  # whether the last turn of `made` may still take one more
    for role, text in _full(turns):
        if made and role == "user" == made[-1][0] and fresh:
            made[-1] = (role, f"{made[-1][1]} {text}")
            fresh = False
        else:
            made.append((role, text))
            fresh = True
    return tuple(made)


_TIDY_CASES: list[Case] = [
    ([("user", "My lamp."), ("user", "It blinks."), ("assistant", "Which lamp?")],),
    ([("user", "Hi."), ("assistant", "One moment."), ("assistant", "Here it is.")],),
    (
        [
            ("user", "One."),
            ("assistant", "  "),
            ("user", "Two."),
            ("user", "Three."),
            ("assistant", "Yes."),
        ],
    ),
    ([("assistant", "Hello."), ("user", ""), ("user", "Bye."), ("assistant", "Bye.")],),
    ([("user", "a"), ("user", "b"), ("user", "c"), ("user", "d"), ("assistant", "e")],),
    ([("user", "Thanks."), ("assistant", "Gladly.")],),
]
_TIDY_MISTAKES: dict[str, Mistake] = {
    "agent joined too": (
        lambda t: _joined(_full(t), ("user", "assistant")),
        "the agent's messages are joined as well. What an agent says in two messages is two "
        "replies: keep both as they are.",
    ),
    "empty turns kept": (
        lambda t: _joined(t),
        "turns without text are still there. Drop them, also those of spaces only.",
    ),
    "joined before dropping": (
        lambda t: tuple(_full(list(_joined(t)))),
        "you join first and drop the empty turns afterwards. Behind a dropped turn two of the "
        "customer's may stand side by side: drop first.",
    ),
    "no space": (
        lambda t: _joined(_full(t), glue=""),
        "the texts are joined without a space, so that two words become one.",
    ),
    "first message only": (
        lambda t: _one_of_each_run(t, 0),
        "of messages in a row only the first is kept. Nothing that the customer said may be lost.",
    ),
    "last message only": (
        lambda t: _one_of_each_run(t, -1),
        "of messages in a row only the last is kept. Nothing that the customer said may be lost.",
    ),
    "only two joined": (
        _in_pairs,
        "two messages in a row are joined, but of three or four some stay apart. Compare with the "
        "last turn of what you have built so far.",
    ),
    "nothing joined": (
        lambda t: tuple(_full(t)),
        "the empty turns are gone, but the customer still speaks twice in a row.",
    ),
}


def _turns(value: Any) -> Frozen:
    if not isinstance(value, (list, tuple)):
        raise Wrong(SHAPE, f"return a list of (role, text), not {type(value).__name__}.")
    for turn in value:
        if not isinstance(turn, (list, tuple)) or len(turn) != 2:
            raise Wrong(SHAPE, f"every turn is a pair (role, text), not {turn!r}.")
    return tuple((turn[0], turn[1]) for turn in value)


@exercise(
    "2.2",
    "Turns in order",
    answer_name="tidy_turns",
    difficulty=2,
    minutes=10,
    hints=(
        "build a new list turn by turn, and look at its last entry before you append.",
        "skip a turn whose text.strip() is empty, before anything else.",
        'if tidy and role == "user" == tidy[-1][0]: tidy[-1] = (role, tidy[-1][1] + " " + text)',
    ),
)
def check_tidy_turns(answer: Callable[..., Any]) -> None:
    """Judges tidy_turns(turns): no empty turns, the customer's messages in a row joined."""
    judge(answer, _tidy, _TIDY_CASES, _TIDY_MISTAKES, _turns)


# ---- 2.3 a span moves along

Span = tuple[int, ...]


def _moved(start: int, end: int, low: int, high: int, new: str) -> Span:
    shift = len(new) - (high - low)
    if high <= start:
        return start + shift, end + shift
    if low >= end:
        return start, end
    inside = start <= low and high <= end
    return (start, end + shift) if inside and end + shift > start else ()


def _clamped(start: int, end: int, low: int, high: int, new: str) -> Span:
    """Keeps what is left of a span that an edit cuts through."""
    right = _moved(start, end, low, high, new)
    if right or (start <= low and high <= end):
        return right
    return (start, low) if start < low else (low + len(new), end + len(new) - (high - low))


def _with_shift(shift: Callable[[int, int, str], int]) -> Callable[..., Span]:
    """The right rule with another shift."""

    def moved(start: int, end: int, low: int, high: int, new: str) -> Span:
        by = shift(low, high, new)
        if high <= start:
            return start + by, end + by
        if low >= end:
            return start, end
        inside = start <= low and high <= end
        return (start, end + by) if inside and end + by > start else ()

    return moved


def _both_ends(start: int, end: int, low: int, high: int, new: str) -> Span:
    shift = len(new) - (high - low)
    inside = start <= low and high <= end and not (high <= start or low >= end)
    if inside and end + shift > start:
        return start + shift, end + shift
    return _moved(start, end, low, high, new)


def _not_stretched(start: int, end: int, low: int, high: int, new: str) -> Span:
    inside = start <= low and high <= end and not (high <= start or low >= end)
    right = _moved(start, end, low, high, new)
    return (start, end) if inside and right else right


def _whatever_the_place(start: int, end: int, low: int, high: int, new: str) -> Span:
    shift = len(new) - (high - low)
    return start + shift, end + shift


def _moved_from_behind(start: int, end: int, low: int, high: int, new: str) -> Span:
    shift = len(new) - (high - low)
    return (start + shift, end + shift) if low >= end else _moved(start, end, low, high, new)


_SPAN_CASES: list[Case] = [
    (10, 15, 2, 6, "x"),  # before: shorter
    (10, 15, 2, 6, "a longer one"),  # before: longer
    (10, 15, 0, 10, "[NAME]"),  # ends where the span begins
    (10, 15, 10, 10, "so "),  # put in front of it
    (10, 15, 20, 24, "[PHONE]"),  # behind
    (10, 15, 15, 15, "!"),  # right behind
    (10, 15, 11, 13, "é"),  # inside
    (10, 15, 10, 15, "[EMAIL]"),  # the whole span
    (10, 15, 8, 12, "y"),  # through its start
    (10, 15, 13, 18, "y"),  # through its end
    (10, 15, 5, 20, "[ADDRESS]"),  # around it
    (10, 15, 10, 15, ""),  # nothing is left
]
_SPAN_MISTAKES: dict[str, Mistake] = {
    "not moved": (
        lambda s, e, low, high, new: (s, e),
        "the span stays where it was. What is put in or taken out before it moves it.",
    ),
    "always moved": (
        _whatever_the_place,
        "the span moves by the edit wherever that is. Only what lies before a span moves it.",
    ),
    "moved from behind": (
        _moved_from_behind,
        "an edit behind the span moves it. Only what lies before a span moves it.",
    ),
    "old text forgotten": (
        _with_shift(lambda low, high, new: len(new)),
        "the shift is the length of the new text. Take the length of the old text, high - low, "
        "off it.",
    ),
    "new text forgotten": (
        _with_shift(lambda low, high, new: low - high),
        "the shift is minus the length of the old text. Add the length of the new one.",
    ),
    "sign": (
        _with_shift(lambda low, high, new: (high - low) - len(new)),
        "the shift has the wrong sign: a longer new text moves what follows to the right.",
    ),
    "start moved by an edit inside": (
        _both_ends,
        "an edit inside the span moves its start as well. Only the end moves then.",
    ),
    "end not moved by an edit inside": (
        _not_stretched,
        "an edit inside the span leaves its end where it was. The span gets longer or shorter.",
    ),
    "cut spans kept": (
        _clamped,
        "a span that an edit cuts through is kept in part. What is left of it is no longer what "
        "was labelled: return ().",
    ),
}


def _span(value: Any) -> Span:
    if not isinstance(value, (tuple, list)) or len(value) not in (0, 2):
        raise Wrong(SHAPE, "return (start, end), or () for a span that is lost.")
    return tuple(int(number(end)) for end in value)


@exercise(
    "2.3",
    "A span moves along",
    answer_name="moved_span",
    difficulty=2,
    minutes=12,
    hints=(
        "shift = len(new) - (high - low): by so much everything behind the edit moves.",
        "four cases in this order: the edit before the span (high <= start), behind it "
        "(low >= end), inside it, and everything else.",
        "inside is start <= low and high <= end; then only the end moves, and the span is lost if "
        "end + shift <= start.",
    ),
)
def check_moved_span(answer: Callable[..., Any]) -> None:
    """Judges moved_span(start, end, low, high, new): where a span lies after one edit."""
    judge(answer, _moved, _SPAN_CASES, _SPAN_MISTAKES, _span)


# ---- 2.4 a split without leaks

Flags = tuple[bool, ...]


def _chosen(
    families: Sequence[str], wanted: int, enough: Callable[[int, int], bool]
) -> dict[str, int]:
    """Families in order of appearance, with their sizes, until there are enough dialogues."""
    chosen: dict[str, int] = {}
    for family in dict.fromkeys(families):
        size = families.count(family)
        if enough(sum(chosen.values()), size):
            break
        chosen[family] = size
    return chosen


def _held_out(families: list[str], wanted: int) -> Flags:
    chosen = _chosen(families, wanted, lambda so_far, _: so_far >= wanted)
    return tuple(family in chosen for family in families)


def _at_most(families: list[str], wanted: int) -> Flags:
    chosen = _chosen(families, wanted, lambda so_far, size: so_far + size > wanted)
    return tuple(family in chosen for family in families)


def _one_more(families: list[str], wanted: int) -> Flags:
    chosen = _chosen(families, wanted, lambda so_far, _: so_far > wanted)
    return tuple(family in chosen for family in families)


def _first_dialogues(families: list[str], wanted: int) -> Flags:
    return tuple(number < wanted for number in range(len(families)))


def _so_many_families(families: list[str], wanted: int) -> Flags:
    chosen = list(dict.fromkeys(families))[:wanted]
    return tuple(family in chosen for family in families)


def _neighbours_only(families: list[str], wanted: int) -> Flags:
    """Takes dialogues from the front, and the rest of a family only where it follows at once."""
    place = wanted
    while place < len(families) and families[place] == families[place - 1]:
        place += 1
    return tuple(number < place for number in range(len(families)))


_SPLIT_CASES: list[Case] = [
    (["a", "b", "a", "c", "b", "d"], 2),
    (["a", "b", "a", "c", "b", "d"], 3),
    (["a", "a", "a", "b", "c"], 2),
    (["a", "b", "b", "c", "a", "d", "e"], 3),
    (["x", "y", "z"], 1),
    (["x", "y", "y", "y", "z", "x"], 4),
    (["k", "k", "l", "m", "m"], 3),
]
_SPLIT_MISTAKES: dict[str, Mistake] = {
    "family torn apart": (
        _first_dialogues,
        "the first dialogues are held out, whatever family they are of. The rest of a family is "
        "then trained on: that is the leak.",
    ),
    "only neighbours kept together": (
        _neighbours_only,
        "a family is kept together only where its dialogues stand side by side. They may stand "
        "anywhere in the list.",
    ),
    "families counted": (
        _so_many_families,
        "`wanted` counts dialogues, and you hold out so many families.",
    ),
    "too few": (
        _at_most,
        "you stop before a family that would go beyond `wanted`. At least so many dialogues are "
        "to be held out.",
    ),
    "one family too many": (
        _one_more,
        "you take one more family when there are enough already. Stop as soon as `wanted` is "
        "reached.",
    ),
    "the wrong way round": (
        lambda f, w: tuple(not flag for flag in _held_out(f, w)),
        "True stands at the dialogues to train on. It is to stand at those held out.",
    ),
}


def _flags(value: Any) -> Flags:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)):
        raise Wrong(SHAPE, f"return a list of True and False, not {type(value).__name__}.")
    return tuple(_truth(flag) for flag in value)


@exercise(
    "2.4",
    "A split without leaks",
    answer_name="held_out",
    difficulty=2,
    minutes=12,
    hints=(
        "first decide which families are held out, then go through the dialogues once more.",
        "dict.fromkeys(families) gives the families in the order in which they first appear, and "
        "families.count(family) how many dialogues one has.",
        "while fewer than `wanted` dialogues are chosen, add the next family and its count; at the "
        "end: [family in chosen for family in families].",
    ),
)
def check_held_out(answer: Callable[..., Any]) -> None:
    """Judges held_out(families, wanted): whole families until enough dialogues are held out."""
    judge(answer, _held_out, _SPLIT_CASES, _SPLIT_MISTAKES, _flags)


# ---- 2.5 recall and precision by the ledger

Ledger = dict[int, tuple[str, str]]  # line -> (kind, action)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _parts(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[int, int, int, int]:
    """How many lines of the kind there are, were dropped; dropped clean and harmless lines."""
    mine = {line for line, (name, _) in ledger.items() if name == kind}
    clean = {line for line in dropped if line not in ledger}
    harmless = {line for line in dropped if ledger.get(line, ("", ""))[1] == "keep"}
    return len(mine), len(mine & dropped), len(clean), len(harmless)


def _by_the_ledger(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    planted, right, clean, harmless = _parts(kind, ledger, dropped)
    return _ratio(right, planted), _ratio(right, right + clean + harmless)


def _all_dropped(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    planted, right, _, _ = _parts(kind, ledger, dropped)
    return _ratio(right, planted), _ratio(right, len(dropped))


def _no_harmless(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    planted, right, clean, _ = _parts(kind, ledger, dropped)
    return _ratio(right, planted), _ratio(right, right + clean)


def _no_clean(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    planted, right, _, harmless = _parts(kind, ledger, dropped)
    return _ratio(right, planted), _ratio(right, right + harmless)


def _all_planted(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    _, right, clean, harmless = _parts(kind, ledger, dropped)
    planted = sum(action == "drop" for _, action in ledger.values())
    return _ratio(right, planted), _ratio(right, right + clean + harmless)


_LEDGER = {
    2: ("loop", "drop"),
    3: ("loop", "drop"),
    5: ("loop", "drop"),
    6: ("abuse", "drop"),
    7: ("abuse", "drop"),
    9: ("price", "keep"),
    11: ("price", "keep"),
    12: ("loop", "drop"),
}
_SCORE_CASES: list[Case] = [
    ("loop", _LEDGER, {2, 3, 12, 6, 9, 20}),
    ("abuse", _LEDGER, {6, 2, 3, 9, 11, 30, 31}),
    ("loop", _LEDGER, {2, 3, 5, 12}),
    ("loop", _LEDGER, {6, 7, 40}),
    ("abuse", _LEDGER, {6, 7, 9}),
    ("abuse", _LEDGER, set()),
    ("loop", _LEDGER, {2, 5, 41, 42}),
]
_SCORE_MISTAKES: dict[str, Mistake] = {
    "swapped": (
        lambda k, ledger, d: _by_the_ledger(k, ledger, d)[::-1],
        "the two are swapped: recall first, then precision.",
    ),
    "other defects as false alarms": (
        _all_dropped,
        "the precision is divided by all dropped lines. A line with another defect is rightly "
        "dropped as well: it is no false alarm.",
    ),
    "hard negatives forgiven": (
        _no_harmless,
        "a dropped line that the ledger says to keep is a false alarm, too: it only looks like a "
        "defect.",
    ),
    "clean lines forgiven": (
        _no_clean,
        "a dropped line that the ledger does not name is clean, so it is a false alarm.",
    ),
    "recall of everything": (
        _all_planted,
        "the recall is divided by all lines to drop. Divide by those of this kind.",
    ),
}


def _two(value: Any) -> tuple[float, float]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Wrong(SHAPE, "return two numbers: return recall, precision.")
    return number(value[0]), number(value[1])


@exercise(
    "2.5",
    "Recall and precision by the ledger",
    answer_name="kind_scores",
    difficulty=3,
    minutes=15,
    hints=(
        "three sets: the lines of this kind, those of them that were dropped, and the false alarms "
        "among the dropped lines.",
        "a dropped line is a false alarm when the ledger does not name it, or names it with the "
        'action "keep".',
        "recall = right / of this kind; precision = right / (right + false alarms), and 0.0 where "
        "there is nothing to divide by.",
    ),
)
def check_kind_scores(answer: Callable[..., Any]) -> None:
    """Judges kind_scores(kind, ledger, dropped) -> (recall, precision) of one kind of defect."""
    judge(answer, _by_the_ledger, _SCORE_CASES, _SCORE_MISTAKES, _two)
