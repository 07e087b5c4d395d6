"""Typical wrong answers to the exercises of chapter 03: (function, the diagnosis it must get)."""

from __future__ import annotations

from typing import Any

Table = list[list[int]]
Ranges = list[tuple[int, int]]
Spans = list[tuple[str, int, int]]
Counts = dict[str, tuple[int, int, int]]

# ---- 3.1


def agreed(table: Table) -> float:
    return sum(table[i][i] for i in range(len(table))) / sum(map(sum, table))


def expected(table: Table) -> float:
    total, labels = sum(map(sum, table)), range(len(table))
    return sum(sum(table[i]) * sum(row[i] for row in table) for i in labels) / total**2


def difference(table: Table) -> float:
    return agreed(table) - expected(table)


def over_chance(table: Table) -> float:
    return difference(table) / expected(table)


def even_chance(table: Table) -> float:
    chance = 1 / len(table)
    return (agreed(table) - chance) / (1 - chance)


def scotts_pi(table: Table) -> float:
    total, labels = sum(map(sum, table)), range(len(table))
    both = [(sum(table[i]) + sum(row[i] for row in table)) / (2 * total) for i in labels]
    chance = sum(share * share for share in both)
    return (agreed(table) - chance) / (1 - chance)


def the_total(table: Table) -> int:
    return sum(map(sum, table))


def seen_and_chance(table: Table) -> Any:
    return agreed(table), expected(table)


# ---- 3.2


def tags_by(tokens: Ranges, spans: Spans, first: str, then: str) -> list[str]:
    tags = ["O"] * len(tokens)
    for slot, start, end in spans:
        prefix = first
        for i, (a, b) in enumerate(tokens):
            if a >= start and b <= end:
                tags[i] = f"{prefix}-{slot}"
                prefix = then
    return tags


def only_i(tokens: Ranges, spans: Spans) -> list[str]:
    return tags_by(tokens, spans, "I", "I")


def only_b(tokens: Ranges, spans: Spans) -> list[str]:
    return tags_by(tokens, spans, "B", "B")


def no_slot(tokens: Ranges, spans: Spans) -> list[str]:
    return [tag[0] for tag in tags_by(tokens, spans, "B", "I")]


def starts_up_to_the_end(tokens: Ranges, spans: Spans) -> list[str]:
    tags = ["O"] * len(tokens)
    for slot, start, end in spans:
        for i, (a, _) in enumerate(tokens):
            if start <= a <= end:
                tags[i] = ("B-" if a == start else "I-") + slot
    return tags


def slices(tokens: Ranges, spans: Spans) -> list[str]:
    tags = ["O"] * len(tokens)
    for slot, start, end in spans:
        for i in range(start, min(end, len(tokens))):
            tags[i] = ("B-" if i == start else "I-") + slot
    return tags


def b_after_o_only(tokens: Ranges, spans: Spans) -> list[str]:
    tags: list[str] = []
    for a, b in tokens:
        slot = next((s for s, start, end in spans if start <= a and b <= end), None)
        if slot is None:
            tags.append("O")
        else:
            tags.append(("I-" if tags and tags[-1][2:] == slot else "B-") + slot)
    return tags


def all_outside(tokens: Ranges, spans: Spans) -> list[str]:
    return ["O" for _ in tokens]


def one_text(tokens: Ranges, spans: Spans) -> Any:
    return " ".join(tags_by(tokens, spans, "B", "I"))


# ---- 3.3


def f_score(right: int, said: int, true: int) -> float:
    precision = right / said if said else 0.0
    recall = right / true if true else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def pools(counts: Counts) -> float:
    right, said, true = (sum(row[i] for row in counts.values()) for i in range(3))
    return f_score(right, said, true)


def by_frequency(counts: Counts) -> float:
    return sum(f_score(*row) * row[2] for row in counts.values()) / sum(
        row[2] for row in counts.values()
    )


def means_first(counts: Counts) -> float:
    rows = [row for row in counts.values() if row[2]]
    p = sum(right / said if said else 0.0 for right, said, _ in rows) / len(rows)
    r = sum(right / true for right, _, true in rows) / len(rows)
    return 2 * p * r / (p + r)


def over_all_labels(counts: Counts) -> float:
    return sum(f_score(*row) for row in counts.values()) / len(counts)


def over_said_labels(counts: Counts) -> float:
    rows = [row for row in counts.values() if row[1] and row[2]]
    return sum(f_score(*row) for row in rows) / len(rows)


def mean_recall(counts: Counts) -> float:
    rows = [row for row in counts.values() if row[2]]
    return sum(right / true for right, _, true in rows) / len(rows)


def mean_precision(counts: Counts) -> float:
    rows = [row for row in counts.values() if row[2]]
    return sum(right / said if said else 0.0 for right, said, _ in rows) / len(rows)


def the_worst(counts: Counts) -> float:
    return min(f_score(*row) for row in counts.values())


def each_f1(counts: Counts) -> Any:
    return {label: f_score(*row) for label, row in counts.items()}


# ---- 3.4

Case = tuple[list[float], list[bool], list[float], float]


def tries(
    case: Case,
    refuses: str = "<",
    divide: str = "inside",
    strict: bool = False,
) -> list[tuple[float, int]]:
    """(threshold, found) of the candidates that this reading of the task allows."""
    confidence, outside, candidates, rate = case
    allowed = []
    for threshold in sorted(candidates):
        said = [
            {"<": c < threshold, "<=": c <= threshold, ">": c > threshold}[refuses]
            for c in confidence
        ]
        false = len([1 for s, o in zip(said, outside, strict=True) if s and not o])
        by = {"inside": outside.count(False), "all": len(outside), "said": max(1, sum(said))}
        alarms = false / by[divide]
        if alarms < rate or (alarms == rate and not strict):
            allowed.append((threshold, sum(said) - false))
    return allowed


def first_of_the_most(allowed: list[tuple[float, int]]) -> float:
    best, most = 0.0, -1
    for threshold, found in allowed:
        if found > most:
            best, most = threshold, found
    return best


def refuses_the_sure(*case: Any) -> float:
    return first_of_the_most(tries(case, refuses=">"))


def refuses_at_it(*case: Any) -> float:
    return first_of_the_most(tries(case, refuses="<="))


def of_all_messages(*case: Any) -> float:
    return first_of_the_most(tries(case, divide="all"))


def of_what_was_refused(*case: Any) -> float:
    return first_of_the_most(tries(case, divide="said"))


def below_the_rate(*case: Any) -> float:
    return first_of_the_most(tries(case, strict=True))


def the_highest(*case: Any) -> float:
    return max((threshold for threshold, _ in tries(case)), default=0.0)


def the_lowest(*case: Any) -> float:
    return min((threshold for threshold, _ in tries(case)), default=0.0)


def the_middle(*case: Any) -> float:
    return 0.5


def all_allowed(*case: Any) -> Any:
    return [threshold for threshold, _ in tries(case)]


# ---- 3.5

Sizes = list[int]


def only_the_task(sizes: Sizes, task: list[int], budget: int) -> list[int]:
    return sorted(task)


def a_plain_window(sizes: Sizes, task: list[int], budget: int) -> list[int]:
    kept: list[int] = []
    for i in reversed(range(len(sizes))):
        if sum(sizes[k] for k in kept) + sizes[i] > budget:
            break
        kept.insert(0, i)
    return kept


def with_gaps(sizes: Sizes, task: list[int], budget: int) -> list[int]:
    kept = list(task)
    for i in reversed(range(len(sizes))):
        if i not in kept and sum(sizes[k] for k in kept) + sizes[i] <= budget:
            kept.append(i)
    return sorted(kept)


def from_the_top(sizes: Sizes, task: list[int], budget: int) -> list[int]:
    kept = list(task)
    for i in range(len(sizes)):
        if i in kept:
            continue
        if sum(sizes[k] for k in kept) + sizes[i] > budget:
            break
        kept.append(i)
    return sorted(kept)


def task_for_free(sizes: Sizes, task: list[int], budget: int) -> list[int]:
    kept, room = list(task), budget
    for i in reversed(range(len(sizes))):
        if i in task:
            continue
        if sizes[i] > room:
            break
        room -= sizes[i]
        kept.append(i)
    return sorted(kept)


def never_full(sizes: Sizes, task: list[int], budget: int) -> list[int]:
    kept = list(task)
    for i in reversed(range(len(sizes))):
        if i in kept:
            continue
        if sum(sizes[k] for k in kept) + sizes[i] >= budget:
            break
        kept.append(i)
    return sorted(kept)


def not_sorted(sizes: Sizes, task: list[int], budget: int) -> list[int]:
    kept = sorted(task)
    for i in reversed(range(len(sizes))):
        if i in task:
            continue
        if sum(sizes[k] for k in kept) + sizes[i] > budget:
            break
        kept.append(i)
    return kept


def everything(sizes: Sizes, task: list[int], budget: int) -> list[int]:
    return list(range(len(sizes)))


def marks(sizes: Sizes, task: list[int], budget: int) -> Any:
    return [i in task for i in range(len(sizes))]


CHAPTER_03: dict[str, list[tuple[Any, str]]] = {
    "3.1": [
        (agreed, "raw agreement"),
        (expected, "chance alone"),
        (difference, "not divided"),
        (over_chance, "divided by chance"),
        (even_chance, "all labels equally likely"),
        (scotts_pi, "habits pooled"),
        (the_total, "differs"),
        (seen_and_chance, "wrong shape"),
    ],
    "3.2": [
        (only_i, "no beginning"),
        (only_b, "always beginning"),
        (no_slot, "slot lost"),
        (starts_up_to_the_end, "end included"),
        (slices, "letters taken for tokens"),
        (b_after_o_only, "neighbours joined"),
        (all_outside, "differs"),
        (one_text, "wrong shape"),
    ],
    "3.3": [
        (pools, "micro"),
        (by_frequency, "weighted"),
        (means_first, "F1 of the means"),
        (over_all_labels, "labels that are never true"),
        (over_said_labels, "unsaid labels left out"),
        (mean_recall, "recall"),
        (mean_precision, "precision"),
        (the_worst, "differs"),
        (each_f1, "wrong shape"),
    ],
    "3.4": [
        (refuses_the_sure, "the wrong side"),
        (refuses_at_it, "refused at the threshold"),
        (of_all_messages, "share of all messages"),
        (of_what_was_refused, "share of the refused"),
        (below_the_rate, "the rate itself"),
        (the_highest, "more refused than needed"),
        (the_lowest, "the most careful"),
        (the_middle, "differs"),
        (all_allowed, "wrong shape"),
    ],
    "3.5": [
        (only_the_task, "the task alone"),
        (a_plain_window, "task dropped"),
        (with_gaps, "gaps"),
        (from_the_top, "oldest first"),
        (task_for_free, "task not charged"),
        (never_full, "budget not used up"),
        (not_sorted, "newest come first"),
        (everything, "differs"),
        (marks, "wrong shape"),
    ],
}
