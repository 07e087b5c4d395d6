"""Checks of chapter 03."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

# ---- 3.1 kappa

Table = list[list[int]]


def _shares(table: Table) -> tuple[float, list[float], list[float]]:
    """Share on the diagonal, share of each row, share of each column."""
    total = sum(map(sum, table))
    rows = [sum(row) / total for row in table]
    columns = [sum(column) / total for column in zip(*table, strict=True)]
    return sum(table[i][i] for i in range(len(table))) / total, rows, columns


def _chance(table: Table) -> float:
    _, rows, columns = _shares(table)
    return sum(r * c for r, c in zip(rows, columns, strict=True))


def _beyond(seen: float, chance: float) -> float:
    return (seen - chance) / (1 - chance)


def _kappa(table: Table) -> float:
    return _beyond(_shares(table)[0], _chance(table))


def _pooled(table: Table) -> float:
    seen, rows, columns = _shares(table)
    return _beyond(seen, sum(((r + c) / 2) ** 2 for r, c in zip(rows, columns, strict=True)))


_KAPPA_CASES: list[Case] = [
    ([[40, 10], [5, 45]],),
    ([[90, 4], [5, 1]],),
    ([[20, 5, 0], [3, 30, 7], [1, 4, 30]],),
    ([[5, 20], [15, 10]],),
]
_KAPPA_MISTAKES: dict[str, Mistake] = {
    "raw agreement": (
        lambda t: _shares(t)[0],
        "that is the share on which they agree. Chance would make them agree on some, too: take "
        "it off, and divide by what is left.",
    ),
    "chance alone": (
        _chance,
        "that is the agreement that chance alone would bring. Compare the seen agreement with it.",
    ),
    "not divided": (
        lambda t: _shares(t)[0] - _chance(t),
        "seen minus chance is right above the fraction line. Divide by 1 minus chance, so that "
        "full agreement gives 1.",
    ),
    "divided by chance": (
        lambda t: (_shares(t)[0] - _chance(t)) / _chance(t),
        "divide by 1 minus chance, which is the most that they could agree beyond chance.",
    ),
    "all labels equally likely": (
        lambda t: _beyond(_shares(t)[0], 1 / len(t)),
        "your chance is one over the number of labels, as if they were drawn evenly. Use how "
        "often each annotator really gave each label.",
    ),
    "habits pooled": (
        _pooled,
        "you pool the two annotators' habits and square them: that is Scott's pi. Cohen's kappa "
        "multiplies the first annotator's share by the second's.",
    ),
}


@exercise(
    "3.1",
    "Kappa from a table",
    answer_name="kappa",
    difficulty=1,
    minutes=8,
    hints=(
        "three numbers: the total, the share on the diagonal, and the share that chance would "
        "bring.",
        "chance is a sum over labels: (sum of row i / total) * (sum of column i / total).",
        "return (seen - chance) / (1 - chance); zip(*table) gives the columns.",
    ),
)
def check_kappa(answer: Callable[..., Any]) -> None:
    """Judges kappa(table): Cohen's kappa from how often the two gave each pair of labels."""
    judge(answer, _kappa, _KAPPA_CASES, _KAPPA_MISTAKES, number)


# ---- 3.2 tags from spans

Ranges = list[tuple[int, int]]
Spans = list[tuple[str, int, int]]


def _inside(tokens: Ranges, start: int, end: int) -> list[int]:
    return [i for i, (a, b) in enumerate(tokens) if start <= a and b <= end]


def _filled(
    tokens: Ranges,
    spans: Spans,
    tag: Callable[[int, str], str],
    inside: Callable[[Ranges, int, int], Sequence[int]] = _inside,
) -> tuple[str, ...]:
    """Tags of which `tag` names the one at a place within its span."""
    tags = ["O"] * len(tokens)
    for slot, start, end in spans:
        for place, token in enumerate(inside(tokens, start, end)):
            tags[token] = tag(place, slot)
    return tuple(tags)


def _begins(place: int, slot: str) -> str:
    return f"I-{slot}" if place else f"B-{slot}"


def _bio(tokens: Ranges, spans: Spans) -> tuple[str, ...]:
    return _filled(tokens, spans, _begins)


def _end_included(tokens: Ranges, start: int, end: int) -> list[int]:
    return [i for i, (a, _) in enumerate(tokens) if start <= a <= end]


def _by_number(tokens: Ranges, start: int, end: int) -> Sequence[int]:
    return range(min(start, len(tokens)), min(end, len(tokens)))


def _joined(tokens: Ranges, spans: Spans) -> tuple[str, ...]:
    """B only after O or another slot, so that neighbours of one slot run together."""
    tags = list(_bio(tokens, spans))
    for i in range(1, len(tags)):
        slot = tags[i][2:]
        if slot and tags[i - 1][2:] == slot:
            tags[i] = f"I-{slot}"
    return tuple(tags)


_BIO_CASES: list[Case] = [
    ([(0, 3), (4, 9), (10, 16), (16, 17), (18, 24)], [("product", 4, 16)]),
    ([(0, 5), (6, 9), (9, 12), (12, 13)], [("order_number", 6, 12)]),
    ([(0, 4), (4, 5), (6, 11), (12, 16)], [("colour", 0, 4), ("colour", 6, 11)]),
    ([(0, 4), (5, 10), (11, 14)], [("colour", 0, 4), ("colour", 5, 10)]),
    ([(0, 5), (6, 8), (9, 14), (15, 19)], [("order_number", 6, 8), ("product", 9, 19)]),
    ([(0, 5), (5, 6)], []),
]
_BIO_MISTAKES: dict[str, Mistake] = {
    "no beginning": (
        lambda t, s: _filled(t, s, lambda place, slot: f"I-{slot}"),
        "every token of a span is I-. The first one is B-, or two spans side by side cannot be "
        "told from one.",
    ),
    "always beginning": (
        lambda t, s: _filled(t, s, lambda place, slot: f"B-{slot}"),
        "every token of a span is B-, so each would be a span of its own. Only the first is B-, "
        "the others are I-.",
    ),
    "slot lost": (
        lambda t, s: _filled(t, s, lambda place, slot: "I" if place else "B"),
        "the tags do not say of which slot the span is: B-product, not B.",
    ),
    "end included": (
        lambda t, s: _filled(t, s, _begins, _end_included),
        "the token that starts where the span ends is tagged, too. Ends are exclusive: a token "
        "lies in the span when start <= its start and its end <= end.",
    ),
    "letters taken for tokens": (
        lambda t, s: _filled(t, s, _begins, _by_number),
        "start and end of a span count letters, not tokens. Compare them with the tokens' ranges.",
    ),
    "neighbours joined": (
        _joined,
        "two spans of one slot side by side come out as one. The first token of every span is B-, "
        "also straight after another span.",
    ),
}


def _as_tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(tag, str) for tag in value):
        raise Wrong(SHAPE, "return a list of texts, one tag for each token.")
    return tuple(value)


@exercise(
    "3.2",
    "Tags from spans",
    answer_name="bio_tags",
    difficulty=2,
    minutes=10,
    hints=(
        'begin with ["O"] * len(tokens) and overwrite what lies in a span.',
        "a token (a, b) lies in a span when start <= a and b <= end.",
        'for the tokens of one span, in order: "B-" + slot for the first, "I-" + slot after it.',
    ),
)
def check_bio_tags(answer: Callable[..., Any]) -> None:
    """Judges bio_tags(tokens, spans): one BIO tag a token, from ranges of letters."""
    judge(answer, _bio, _BIO_CASES, _BIO_MISTAKES, _as_tags)


# ---- 3.3 macro-F1

Counts = dict[str, tuple[int, int, int]]


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def _f1(right: int, said: int, true: int) -> float:
    return 2 * right / (said + true) if said + true else 0.0


def _there(counts: Counts) -> list[tuple[int, int, int]]:
    return [row for row in counts.values() if row[2]]


def _macro(counts: Counts) -> float:
    return _mean(_f1(*row) for row in _there(counts))


def _precisions(counts: Counts) -> float:
    return _mean(right / said if said else 0.0 for right, said, _ in _there(counts))


def _recalls(counts: Counts) -> float:
    return _mean(right / true for right, _, true in _there(counts))


def _of_means(counts: Counts) -> float:
    precision, recall = _precisions(counts), _recalls(counts)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _micro(counts: Counts) -> float:
    rows = zip(*counts.values(), strict=True)
    right, said, true = (sum(row) for row in rows)
    return _f1(right, said, true)


def _weighted(counts: Counts) -> float:
    rows = _there(counts)
    return sum(_f1(*row) * row[2] for row in rows) / sum(row[2] for row in rows)


_MACRO_CASES: list[Case] = [
    ({"thanks": (45, 50, 47), "ask_price": (8, 10, 12), "complaint": (1, 4, 3)},),
    ({"thanks": (30, 32, 30), "complaint": (0, 0, 4), "deny": (3, 3, 5)},),
    ({"thanks": (20, 25, 22), "ask_price": (6, 6, 9), "joke": (0, 3, 0)},),
    ({"thanks": (0, 5, 2), "deny": (4, 4, 8)},),
]
_MACRO_MISTAKES: dict[str, Mistake] = {
    "micro": (
        _micro,
        "you add the counts of all labels first: that is micro-F1, in which frequent labels "
        "decide. Work out F1 for each label, then take the mean.",
    ),
    "weighted": (
        _weighted,
        "frequent labels weigh more in your mean. In macro-F1 every label counts the same.",
    ),
    "F1 of the means": (
        _of_means,
        "you take the means of precision and recall first, and one F1 at the end. Macro-F1 is "
        "the mean of the labels' F1.",
    ),
    "labels that are never true": (
        lambda c: _mean(_f1(*row) for row in c.values()),
        "a label that is never true counts in your mean with 0. It has no recall; leave it out. "
        "(What was said wrongly has cost the true labels already.)",
    ),
    "unsaid labels left out": (
        lambda c: _mean(_f1(*row) for row in _there(c) if row[1]),
        "a label that is true but never said is left out. It counts, with F1 = 0: missing it "
        "altogether is the worst one can do.",
    ),
    "recall": (_recalls, "that is the mean recall. F1 looks at what was said as well."),
    "precision": (_precisions, "that is the mean precision. F1 looks at what is true as well."),
}


@exercise(
    "3.3",
    "Macro-F1 from counts",
    answer_name="macro_f1",
    difficulty=2,
    minutes=8,
    hints=(
        "work out F1 for each label on its own, then take the plain mean.",
        "F1 of a label is 2 * right / (said + true), the same as from precision and recall.",
        "only labels with true > 0 count, above and below the fraction line.",
    ),
)
def check_macro_f1(answer: Callable[..., Any]) -> None:
    """Judges macro_f1(counts): the mean F1 over the labels that are true somewhere."""
    judge(answer, _macro, _MACRO_CASES, _MACRO_MISTAKES, number)


# ---- 3.4 a threshold

Values = list[float]
Marks = list[bool]
Refuses = Callable[[float, float], bool]
Rate = Callable[[int, int, int, int], float]


def _alarms(false: int, inside: int, refused: int, all_: int) -> float:
    return false / inside


def _allowed(
    confidence: Values,
    outside: Marks,
    candidates: Values,
    rate: float,
    *,
    refuses: Refuses = operator.lt,
    share: Rate = _alarms,
    within: Refuses = operator.le,
) -> list[tuple[int, float]]:
    """(how many of what is outside are found, threshold) of each candidate within the rate."""
    found = []
    for threshold in sorted(candidates):
        said = [refuses(value, threshold) for value in confidence]
        false = sum(s and not o for s, o in zip(said, outside, strict=True))
        counts = false, len(outside) - sum(outside), max(1, sum(said)), len(outside)
        if within(share(*counts), rate):
            found.append((sum(said) - false, threshold))
    return found


def _best(allowed: list[tuple[int, float]]) -> float:
    return min(allowed, key=lambda pair: (-pair[0], pair[1]))[1] if allowed else 0.0


def _threshold(*case: Any) -> float:
    return _best(_allowed(*case))


def _highest(*case: Any) -> float:
    return max((threshold for _, threshold in _allowed(*case)), default=0.0)


def _lowest(*case: Any) -> float:
    return min((threshold for _, threshold in _allowed(*case)), default=0.0)


def _of_all(false: int, inside: int, refused: int, all_: int) -> float:
    return false / all_


def _of_refused(false: int, inside: int, refused: int, all_: int) -> float:
    return false / refused


_SURE = [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
_MARKS = [False, False, False, False, True, False, True, False, True, True]
_STEPS = [0.1, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.88, 0.99]
_THRESHOLD_CASES: list[Case] = [
    (_SURE, _MARKS, _STEPS, 0.2),
    (_SURE, _MARKS, _STEPS, 0.34),
    (_SURE, _MARKS, [0.4, 0.2, 0.5, 0.7], 0.0),
    (_SURE, _MARKS, [0.6, 0.4, 0.92], 1 / 6),
    (_SURE, _MARKS, [0.7, 0.9], 0.0),
    ([0.9, 0.2, 0.6, 0.1], [False, True, False, True], [0.3, 0.5, 0.4, 0.15], 0.1),
    ([0.9, 0.8, 0.4, 0.3], [False, False, False, True], [0.35, 0.45, 0.85], 0.4),
]
_THRESHOLD_MISTAKES: dict[str, Mistake] = {
    "the wrong side": (
        lambda *case: _best(_allowed(*case, refuses=operator.gt)),
        "you refuse what the classifier is sure of. A message is refused when its confidence lies "
        "below the threshold.",
    ),
    "refused at the threshold": (
        lambda *case: _best(_allowed(*case, refuses=operator.le)),
        "a message whose confidence equals the threshold is refused. Only what lies below is.",
    ),
    "share of all messages": (
        lambda *case: _best(_allowed(*case, share=_of_all)),
        "false alarms are divided by all messages. Divide by those in scope, or the rate looks "
        "smaller the more strange messages dev holds.",
    ),
    "share of the refused": (
        lambda *case: _best(_allowed(*case, share=_of_refused)),
        "false alarms are divided by the refused messages: that is 1 minus precision. Divide by "
        "the messages in scope.",
    ),
    "the rate itself": (
        lambda *case: _best(_allowed(*case, within=operator.lt)),
        "a candidate that reaches the rate exactly is thrown out. At most `rate` is allowed.",
    ),
    "more refused than needed": (
        _highest,
        "that is the highest candidate within the rate. Where a lower one finds as many, take the "
        "lower: it refuses fewer customers.",
    ),
    "the most careful": (
        _lowest,
        "that is the lowest candidate within the rate. Among the allowed ones take that which "
        "finds the most.",
    ),
}


@exercise(
    "3.4",
    "A threshold for what is out of scope",
    answer_name="choose",
    difficulty=3,
    minutes=15,
    hints=(
        "go through sorted(candidates); for each count the refused messages in scope and those "
        "outside.",
        "skip a candidate when refused in scope / all in scope > rate.",
        "keep the best so far, and replace it only when a later one finds more (>, not >=).",
    ),
)
def check_choose(answer: Callable[..., Any]) -> None:
    """Judges choose(confidence, outside, candidates, rate): most found within the rate."""
    judge(answer, _threshold, _THRESHOLD_CASES, _THRESHOLD_MISTAKES, number)


# ---- 3.5 a budget for the history


def _newest_fit(
    sizes: list[int], places: Iterable[int], room: int, gaps: bool = False, strict: bool = False
) -> list[int]:
    """The places that fit, in the given order; the first that does not ends it without `gaps`."""
    kept = []
    for place in places:
        if sizes[place] < room or (sizes[place] == room and not strict):
            kept.append(place)
            room -= sizes[place]
        elif not gaps:
            break
    return kept


def _keep(
    sizes: list[int],
    task: list[int],
    budget: int,
    oldest_first: bool = False,
    charged: int = 1,
    **options: bool,
) -> tuple[int, ...]:
    others = [i for i in range(len(sizes)) if i not in task]
    places = others if oldest_first else others[::-1]
    room = budget - charged * sum(sizes[i] for i in task)
    return tuple(sorted({*task, *_newest_fit(sizes, places, room, **options)}))


def _without_task(sizes: list[int], task: list[int], budget: int) -> tuple[int, ...]:
    return tuple(sorted(_newest_fit(sizes, range(len(sizes))[::-1], budget)))


_BUDGET_CASES: list[Case] = [
    ([6, 8, 9, 5, 12, 4, 7], [0, 1], 34),
    ([6, 8, 9, 5, 12, 4, 7], [0, 1, 6], 25),
    ([10, 3, 20, 2, 5], [0, 4], 23),
    ([4, 4, 4, 4], [0], 16),
    ([4, 4, 4, 4], [1, 3], 12),
    ([9, 1, 8, 3], [0, 3], 12),
]
_BUDGET_MISTAKES: dict[str, Mistake] = {
    "the task alone": (
        lambda s, t, b: tuple(sorted(t)),
        "only the task is kept. Fill the room that is left with the newest other messages.",
    ),
    "task dropped": (
        _without_task,
        "you keep the newest messages whatever they are, so the task goes when the dialogue gets "
        "long. Keep the task first.",
    ),
    "gaps": (
        lambda s, t, b: _keep(s, t, b, gaps=True),
        "you skip a message that does not fit and go on to older ones, so an answer may stand "
        "without its question. Stop at the first that does not fit.",
    ),
    "oldest first": (
        lambda s, t, b: _keep(s, t, b, oldest_first=True),
        "the room goes to the oldest messages. Go from the newest to the oldest.",
    ),
    "task not charged": (
        lambda s, t, b: _keep(s, t, b, charged=0),
        "the task's own tokens are not taken off the budget, so the whole gets too long.",
    ),
    "budget not used up": (
        lambda s, t, b: _keep(s, t, b, strict=True),
        "a message that fills the room exactly is left out. Up to the budget is allowed.",
    ),
    "newest come first": (
        lambda s, t, b: (*sorted(t), *(i for i in _keep(s, t, b)[::-1] if i not in t)),
        "the messages are right, but not in their order. Sort the indices: a dialogue is read "
        "from top to bottom.",
    ),
}


def _as_places(value: Any) -> tuple[int, ...]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)) or not all(type(i) is int for i in value):
        raise Wrong(SHAPE, "return a list of indices, such as [0, 3, 4].")
    return tuple(value)


@exercise(
    "3.5",
    "A budget for the history",
    answer_name="keep",
    difficulty=2,
    minutes=12,
    hints=(
        "room = budget - sum(sizes[i] for i in task); what is not in the task shares it.",
        "go through reversed(range(len(sizes))), leave out what is in task, and take off each "
        "size.",
        "break at the first message that is larger than the room; return sorted(kept).",
    ),
)
def check_keep(answer: Callable[..., Any]) -> None:
    """Judges keep(sizes, task, budget): the task, then the newest messages that still fit."""
    judge(answer, _keep, _BUDGET_CASES, _BUDGET_MISTAKES, _as_places)
