"""Typical wrong answers to the exercises of chapter 12: (function, the diagnosis it must get)."""

from __future__ import annotations

from statistics import mean
from typing import Any

Turns = list[tuple[str, int]]
Mask = list[bool]

# ---- 12.1


def drawn(turns: Turns, head: int = 1, first: int = 1, last: int = 0) -> Mask:
    mask = [False] * head
    for role, size in turns:
        for place in range(size):
            mask.append(role == "assistant" and first <= place < size - last)
    return mask


def without_earlier(turns: Turns, mask: Mask) -> Mask:
    start = position = 1
    for role, size in turns:
        if role == "assistant":
            start = position
        position += size
    return [False] * start + mask[start:]


def named(turns: Turns, mask: Mask, forms: list[tuple[str, Mask]]) -> str:
    for name, form in forms:
        if form == mask:
            return name
    return "unknown"


def forms_of(turns: Turns, mask: Mask, good: Mask, short: Mask, moved: Mask) -> Any:
    return [
        ("healthy", good),
        ("everything", [True] * len(mask)),
        ("one late", moved),
        ("no end token", short),
        ("last reply only", without_earlier(turns, good)),
        ("nothing", [False] * len(mask)),
    ]


def last_reply_asked_first(turns: Turns, mask: Mask) -> str:
    good = drawn(turns)
    forms = forms_of(turns, mask, good, drawn(turns, last=1), [False, *good[:-1]])
    return named(turns, mask, [forms[4], *forms])


def trains_the_role(turns: Turns, mask: Mask) -> str:
    good = drawn(turns, first=0)
    forms = forms_of(turns, mask, good, drawn(turns, last=1), [False, *good[:-1]])
    return named(turns, mask, forms)


def forgets_the_beginning(turns: Turns, mask: Mask) -> str:
    good = [*drawn(turns, head=0), False]
    forms = forms_of(turns, mask, good, drawn(turns, last=1), [False, *good[:-1]])
    return named(turns, mask, forms)


def moves_to_the_left(turns: Turns, mask: Mask) -> str:
    good = drawn(turns)
    forms = forms_of(turns, mask, good, drawn(turns, last=1), [*good[1:], False])
    return named(turns, mask, forms)


def does_not_want_the_end(turns: Turns, mask: Mask) -> str:
    good = drawn(turns, last=1)
    forms = forms_of(turns, mask, good, drawn(turns), [False, *good[:-1]])
    return named(turns, mask, forms)


def by_the_share(turns: Turns, mask: Mask) -> str:
    share = sum(mask) / len(mask)
    return "everything" if share > 0.9 else "nothing" if share == 0 else "healthy"


def gives_the_number(turns: Turns, mask: Mask) -> Any:
    return 0


# ---- 12.2


def needs_a_next_token(ids: list[int], mask: Mask, end_id: int) -> list[int]:
    places = range(len(ids) - 1)
    return [p for p in places if mask[p] and not mask[p + 1] and ids[p] != end_id]


def only_the_last(ids: list[int], mask: Mask, end_id: int) -> list[int]:
    trained = [p for p, on in enumerate(mask) if on]
    return [p for p in trained[-1:] if ids[p] != end_id]


def those_that_end(ids: list[int], mask: Mask, end_id: int) -> list[int]:
    return [p for p, on in enumerate(mask) if on and ids[p] == end_id and not [*mask, False][p + 1]]


def where_they_begin(ids: list[int], mask: Mask, end_id: int) -> list[int]:
    found, start = [], 0
    for place, on in enumerate(mask):
        if on and not [False, *mask][place]:
            start = place
        if on and not [*mask, False][place + 1] and ids[place] != end_id:
            found.append(start)
    return found


def slice_ends(ids: list[int], mask: Mask, end_id: int) -> list[int]:
    ends = [p for p, on in enumerate(mask) if on and not [*mask, False][p + 1]]
    return [p + 1 for p in ends if ids[p] != end_id]


def looks_behind(ids: list[int], mask: Mask, end_id: int) -> list[int]:
    ends = [p for p, on in enumerate(mask) if on and not [*mask, False][p + 1]]
    return [p for p in ends if p + 1 == len(ids) or ids[p + 1] != end_id]


def all_but_ends(ids: list[int], mask: Mask, end_id: int) -> list[int]:
    return [p for p in range(len(ids)) if mask[p] and ids[p] != end_id]


def yes_or_no(ids: list[int], mask: Mask, end_id: int) -> Any:
    return ids[-1] != end_id


def nothing_found(ids: list[int], mask: Mask, end_id: int) -> list[int]:
    return []


# ---- 12.3

Rows = list[list[int]]


def filled(prompts: Rows) -> list[tuple[int, list[int]]]:
    width = max(len(prompt) for prompt in prompts)
    return [(width - len(prompt), prompt) for prompt in prompts]


def as_in_training(prompts: Rows, pad_id: int) -> Any:
    rows = filled(prompts)
    ids = [prompt + [pad_id] * gap for gap, prompt in rows]
    mask = [[1] * len(prompt) + [0] * gap for gap, prompt in rows]
    return ids, mask, [list(range(len(prompt))) + [0] * gap for gap, prompt in rows]


def left(prompts: Rows, pad_id: int) -> tuple[Rows, Rows, Rows]:
    ids, mask, positions = [], [], []
    for gap, prompt in filled(prompts):
        ids.append([pad_id] * gap + prompt)
        mask.append([0] * gap + [1] * len(prompt))
        positions.append([0] * gap + [*range(len(prompt))])
    return ids, mask, positions


def plain_arange(prompts: Rows, pad_id: int) -> Any:
    ids, mask, _ = left(prompts, pad_id)
    return ids, mask, [list(range(len(row))) for row in ids]


def running_sum(prompts: Rows, pad_id: int) -> Any:
    ids, mask, positions = left(prompts, pad_id)
    rows = zip(mask, positions, strict=True)
    return ids, mask, [[p + m for m, p in zip(*row, strict=True)] for row in rows]


def hides_the_words(prompts: Rows, pad_id: int) -> Any:
    ids, mask, positions = left(prompts, pad_id)
    return ids, [[1 - value for value in row] for row in mask], positions


def asks_the_ids(prompts: Rows, pad_id: int) -> Any:
    ids, _, positions = left(prompts, pad_id)
    return ids, [[0 if token == pad_id else 1 for token in row] for row in ids], positions


def everything_seen(prompts: Rows, pad_id: int) -> Any:
    ids, mask, positions = left(prompts, pad_id)
    return ids, [[1] * len(row) for row in mask], positions


def ids_and_mask(prompts: Rows, pad_id: int) -> Any:
    return left(prompts, pad_id)[:2]


def not_padded(prompts: Rows, pad_id: int) -> Any:
    return prompts, [[1] * len(p) for p in prompts], [list(range(len(p))) for p in prompts]


# ---- 12.4


def sort_by(masks: list[Mask], good: Any) -> tuple[list[int], list[int]]:
    kept = [i for i, mask in enumerate(masks) if good(mask)]
    aside = [i for i, mask in enumerate(masks) if not good(mask)]
    return kept, aside


def any_at_all(masks: list[Mask]) -> Any:
    return sort_by(masks, lambda mask: True in mask)


def cuts_the_wrong_end(masks: list[Mask]) -> Any:
    return sort_by(masks, lambda mask: any(mask[:-1]))


def wants_everything(masks: list[Mask]) -> Any:
    return sort_by(masks, lambda mask: all(mask[1:]))


def aside_first(masks: list[Mask]) -> Any:
    return sort_by(masks, lambda mask: not any(mask[1:]))


def drops_the_batch(masks: list[Mask]) -> Any:
    good = all(any(mask[1:]) for mask in masks)
    numbers = list(range(len(masks)))
    return (numbers, []) if good else ([], numbers)


def flags(masks: list[Mask]) -> Any:
    return [any(m[1:]) + 0 for m in masks], [1 - any(m[1:]) for m in masks]


def kept_alone(masks: list[Mask]) -> Any:
    return [i for i, mask in enumerate(masks) if any(mask[1:])][:1]


def keeps_all(masks: list[Mask]) -> Any:
    return list(range(len(masks))), []


# ---- 12.5

Sums = list[tuple[float, int]]


def by_token(sums: Sums) -> float:
    return sum(s[0] for s in sums) / sum(s[1] for s in sums)


def leaked_alone(lb: Sums, cb: Sums, la: Sums, ca: Sums) -> float:
    return by_token(lb) - by_token(la)


def halves_alone(lb: Sums, cb: Sums, la: Sums, ca: Sums) -> float:
    return by_token(ca) - by_token(la)


def loss_instead_of_gain(lb: Sums, cb: Sums, la: Sums, ca: Sums) -> float:
    return (by_token(la) - by_token(lb)) - (by_token(ca) - by_token(cb))


def every_dialogue_alike(lb: Sums, cb: Sums, la: Sums, ca: Sums) -> float:
    a, b, c, d = (mean(nats / count for nats, count in sums) for sums in (lb, cb, la, ca))
    return (a - c) - (b - d)


def forgets_the_tokens(lb: Sums, cb: Sums, la: Sums, ca: Sums) -> float:
    a, b, c, d = (sum(nats for nats, _ in sums) for sums in (lb, cb, la, ca))
    return (a - c) - (b - d)


def all_that_was_gained(lb: Sums, cb: Sums, la: Sums, ca: Sums) -> float:
    return (by_token(lb) - by_token(la)) + (by_token(cb) - by_token(ca))


def as_a_ratio(lb: Sums, cb: Sums, la: Sums, ca: Sums) -> float:
    return by_token(la) / by_token(lb)


def both_gains(lb: Sums, cb: Sums, la: Sums, ca: Sums) -> Any:
    return by_token(lb) - by_token(la), by_token(cb) - by_token(ca)


CHAPTER_12: dict[str, list[tuple[Any, str]]] = {
    "12.1": [
        (last_reply_asked_first, "one reply is also the last"),
        (trains_the_role, "role token trained"),
        (forgets_the_beginning, "beginning forgotten"),
        (moves_to_the_left, "early instead of late"),
        (does_not_want_the_end, "no end token taken for healthy"),
        (by_the_share, "differs"),
        (gives_the_number, "wrong shape"),
    ],
    "12.2": [
        (needs_a_next_token, "row's end forgotten"),
        (only_the_last, "last answer only"),
        (those_that_end, "whole answers"),
        (where_they_begin, "first positions"),
        (slice_ends, "one too far"),
        (looks_behind, "the token after the answer"),
        (all_but_ends, "every trained token"),
        (yes_or_no, "wrong shape"),
        (nothing_found, "differs"),
    ],
    "12.3": [
        (as_in_training, "padded on the right"),
        (plain_arange, "positions count the padding"),
        (running_sum, "positions from 1"),
        (hides_the_words, "the mask turned round"),
        (asks_the_ids, "the mask by the padding's id"),
        (everything_seen, "the mask all ones"),
        (ids_and_mask, "wrong shape"),
        (not_padded, "differs"),
    ],
    "12.4": [
        (any_at_all, "first token counted"),
        (cuts_the_wrong_end, "last token not counted"),
        (wants_everything, "all must be trained"),
        (aside_first, "swapped"),
        (drops_the_batch, "all or none"),
        (flags, "masks instead of numbers"),
        (kept_alone, "wrong shape"),
        (keeps_all, "differs"),
    ],
    "12.5": [
        (leaked_alone, "no clean dialogues"),
        (halves_alone, "no healthy model"),
        (loss_instead_of_gain, "sign"),
        (every_dialogue_alike, "mean of means"),
        (forgets_the_tokens, "nats added up"),
        (all_that_was_gained, "both gains added"),
        (both_gains, "wrong shape"),
        (as_a_ratio, "differs"),
    ],
}
