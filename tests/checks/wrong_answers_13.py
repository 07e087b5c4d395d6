"""Typical wrong answers to the exercises of chapter 13: (function, the diagnosis it must get)."""

from __future__ import annotations

import statistics
from itertools import accumulate
from typing import Any

# ---- 13.1


def decodes_each(tokens: list[bytes]) -> Any:
    return [token.decode("utf-8", errors="replace") for token in tokens]


def ignores_each(tokens: list[bytes]) -> Any:
    return [token.decode(errors="ignore") for token in tokens]


def says_it_all_again(tokens: list[bytes]) -> Any:
    return [so_far.decode(errors="ignore") for so_far in accumulate(tokens)]


def waits_for_the_end(tokens: list[bytes]) -> Any:
    return [""] * (len(tokens) - 1) + [b"".join(tokens).decode(errors="ignore")]


def skips_empty(tokens: list[bytes]) -> Any:
    texts = ["", *says_it_all_again(tokens)]
    pieces = [new[len(old) :] for old, new in zip(texts, texts[1:], strict=False)]
    return [piece for piece in pieces if piece]


def shows_broken_signs(tokens: list[bytes]) -> Any:
    done, shown, out = b"", "", []
    for token in tokens:
        done += token
        text = done.decode("utf-8", errors="replace")
        out.append(text[len(shown) :])
        shown = text
    return out


def one_text(tokens: list[bytes]) -> Any:
    return b"".join(tokens).decode(errors="ignore")


def backwards(tokens: list[bytes]) -> Any:
    return decodes_each(tokens[::-1])


# ---- 13.2

Turns = list[tuple[str, int]]


def drops_from_the_front(turns: Turns, room: int) -> Any:
    first = 0
    while sum(size for _, size in turns[first:]) > room or turns[first][0] == "assistant":
        first += 1
    return list(range(first, len(turns)))


def forgets_the_question(turns: Turns, room: int) -> Any:
    system = [i for i, turn in enumerate(turns) if turn[0] == "system"]
    others = [i for i, turn in enumerate(turns) if turn[0] != "system"]
    while sum(turns[i][1] for i in system + others) > room:
        others.pop(0)
    return system + others


def fills_the_gaps(turns: Turns, room: int) -> Any:
    kept = [i for i, turn in enumerate(turns) if turn[0] == "system"]
    room -= sum(turns[i][1] for i in kept)
    for i in range(len(turns) - 1, -1, -1):
        if i not in kept and turns[i][1] <= room:
            room -= turns[i][1]
            kept.append(i)
    return sorted(kept)


def keeps_the_beginning(turns: Turns, room: int) -> Any:
    sums = accumulate(size for _, size in turns)
    return [i for i, total in enumerate(sums) if total <= room]


def system_for_free(turns: Turns, room: int) -> Any:
    system = [i for i, turn in enumerate(turns) if turn[0] == "system"]
    others = [i for i, turn in enumerate(turns) if turn[0] != "system"]
    while sum(turns[i][1] for i in others) > room or turns[others[0]][0] == "assistant":
        others.pop(0)
    return system + others


def strictly_less(turns: Turns, room: int) -> Any:
    system = [i for i, turn in enumerate(turns) if turn[0] == "system"]
    others = [i for i, turn in enumerate(turns) if turn[0] != "system"]
    while sum(turns[i][1] for i in system + others) >= room or turns[others[0]][0] == "assistant":
        others.pop(0)
    return system + others


def how_many(turns: Turns, room: int) -> Any:
    return len(drops_from_the_front(turns, room))


def the_last_two(turns: Turns, room: int) -> Any:
    return [len(turns) - 2, len(turns) - 1]


# ---- 13.3


def stops_before(odds: list[float], p: float) -> Any:
    total, kept = 0.0, []
    for odd, i in sorted(((odd, i) for i, odd in enumerate(odds)), reverse=True):
        if total + odd > p:
            break
        total += odd
        kept.append(i)
    return sorted(kept)


def takes_them_as_they_come(odds: list[float], p: float) -> Any:
    total, kept = 0.0, []
    for i, odd in enumerate(odds):
        if total >= p:
            break
        total += odd
        kept.append(i)
    return kept


def each_at_least(odds: list[float], p: float) -> Any:
    return [i for i, odd in enumerate(odds) if odd >= p]


def each_at_least_the_rest(odds: list[float], p: float) -> Any:
    return [i for i in range(len(odds)) if odds[i] >= 1 - p]


def min_p(odds: list[float], p: float) -> Any:
    bar = p * max(odds)
    return [i for i in range(len(odds)) if odds[i] >= bar]


def likeliest_first(odds: list[float], p: float) -> Any:
    total, kept = 0.0, []
    for odd, i in sorted(((odd, i) for i, odd in enumerate(odds)), reverse=True):
        kept.append(i)
        total += odd
        if total >= p:
            return kept
    return kept


def the_sum(odds: list[float], p: float) -> Any:
    return sum(odd for odd in odds if odd > 1 - p)


def everything(odds: list[float], p: float) -> Any:
    return list(range(len(odds)))


# ---- 13.4


def from_the_question(asked: float, times: list[float]) -> Any:
    return times[0] - asked, len(times) / (times[-1] - asked) if len(times) > 1 else 0.0


def counts_the_first(asked: float, times: list[float]) -> Any:
    return times[0] - asked, len(times) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def upside_down(asked: float, times: list[float]) -> Any:
    gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
    return times[0] - asked, statistics.fmean(gaps) if gaps else 0.0


def averages_rates(asked: float, times: list[float]) -> Any:
    rates = [1 / (b - a) for a, b in zip(times, times[1:], strict=False)]
    return times[0] - asked, statistics.fmean(rates) if rates else 0.0


def absolute(asked: float, times: list[float]) -> Any:
    return times[0], (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def rate_alone(asked: float, times: list[float]) -> Any:
    return len(times) / (times[-1] - asked)


def swapped(asked: float, times: list[float]) -> Any:
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
    return rate, times[0] - asked


# ---- 13.5

Talk = list[tuple[str, str]]


def trains_replies(talk: Talk, verdict: str, better: str) -> Any:
    rows = [(role, text, role == "assistant") for role, text in talk]
    role, text, _ = rows[-1]
    rows[-1] = (role, better if verdict == "corrected" else text, verdict != "disliked")
    return rows


def trains_all(talk: Talk, verdict: str, better: str) -> Any:
    rows = [(role, text, True) for role, text in talk]
    if verdict == "corrected":
        rows[-1] = ("assistant", better, True)
    return rows


def appends(talk: Talk, verdict: str, better: str) -> Any:
    rows = [(role, text, False) for role, text in talk]
    if verdict == "corrected":
        return [*rows, ("assistant", better, True)]
    return [*rows[:-1], (*talk[-1], verdict == "liked")]


def trains_what_was_bad(talk: Talk, verdict: str, better: str) -> Any:
    rows = [(role, text, False) for role, text in talk[:-1]]
    return [*rows, ("assistant", better or talk[-1][1], True)]


def keeps_the_words(talk: Talk, verdict: str, better: str) -> Any:
    rows = [(role, text, False) for role, text in talk[:-1]]
    return [*rows, (*talk[-1], verdict in ("liked", "corrected"))]


def overwrites(talk: Talk, verdict: str, better: str) -> Any:
    rows = [(role, text, False) for role, text in talk[:-1]]
    return [*rows, ("assistant", better, verdict != "disliked")]


def corrections_only(talk: Talk, verdict: str, better: str) -> Any:
    rows = [(role, text, False) for role, text in talk[:-1]]
    right = verdict == "corrected"
    return [*rows, ("assistant", better if right else talk[-1][1], right)]


def the_text(talk: Talk, verdict: str, better: str) -> Any:
    return better or talk[-1][1]


def nothing_trained(talk: Talk, verdict: str, better: str) -> Any:
    return [(role, text, False) for role, text in talk]


CHAPTER_13: dict[str, list[tuple[Any, str]]] = {
    "13.1": [
        (decodes_each, "each token alone"),
        (ignores_each, "bytes thrown away"),
        (says_it_all_again, "everything again"),
        (waits_for_the_end, "all at once"),
        (skips_empty, "empty pieces left out"),
        (shows_broken_signs, "broken signs shown"),
        (one_text, "wrong shape"),
        (backwards, "differs"),
    ],
    "13.2": [
        (drops_from_the_front, "system prompt lost"),
        (forgets_the_question, "starts with a reply"),
        (fills_the_gaps, "gaps"),
        (keeps_the_beginning, "the oldest kept"),
        (system_for_free, "system prompt not counted"),
        (strictly_less, "one too few"),
        (how_many, "wrong shape"),
        (the_last_two, "differs"),
    ],
    "13.3": [
        (stops_before, "the last one missing"),
        (takes_them_as_they_come, "not sorted"),
        (each_at_least, "a bar for each token"),
        (each_at_least_the_rest, "a bar of 1 - p"),
        (min_p, "a share of the best"),
        (likeliest_first, "in order of probability"),
        (the_sum, "wrong shape"),
        (everything, "differs"),
    ],
    "13.4": [
        (from_the_question, "waiting counted"),
        (counts_the_first, "gaps and tokens mixed up"),
        (upside_down, "seconds a token"),
        (averages_rates, "mean of the rates"),
        (absolute, "the clock's time"),
        (rate_alone, "wrong shape"),
        (swapped, "differs"),
    ],
    "13.5": [
        (trains_replies, "earlier replies trained"),
        (trains_all, "everything trained"),
        (appends, "both replies kept"),
        (trains_what_was_bad, "dislikes trained"),
        (keeps_the_words, "old words trained"),
        (overwrites, "better text everywhere"),
        (corrections_only, "likes forgotten"),
        (the_text, "wrong shape"),
        (nothing_trained, "differs"),
    ],
}
