"""The whole table: every measure of one model on every test set, with intervals over dialogues.

Each assistant turn is answered greedily with the gold history before it, so that every reply is
judged on its own. What a set cannot tell (exact facts where no fact is informed of) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.annotation.scores import Interval
from course_lib.dialogue import Dialogue
from course_lib.generation import Reply, generate_replies
from course_lib.metrics import classes, overlap, replies
from course_lib.metrics.acts import Acts, act_labels, acts_of
from course_lib.metrics.facts import fact_questions, states_fact
from course_lib.metrics.loss import losses
from course_lib.metrics.score import Score, score_of

Recogniser = Callable[[Sequence[str]], Sequence[Acts]]
TEST_SETS = ("test_iid", "test_phrasing", "test_product", "test_intent", "out_of_scope")
HANDOVER, ASK, CONFIRM, DECLINE = "handover", "request", "confirm", "decline"
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Answered:
    """The assistant turns of a test set and what a model said in their place."""

    dialogues: tuple[Dialogue, ...]
    turns: tuple[tuple[int, int], ...]  # (dialogue, message) by number
    replies: tuple[Reply, ...]
    said: tuple[Acts, ...] | None = None  # the acts seen in the replies

    @property
    def texts(self) -> list[str]:
        return [reply.text for reply in self.replies]

    @property
    def gold(self) -> list[str]:
        return [self.dialogues[d].messages[m].content for d, m in self.turns]

    @property
    def true(self) -> list[Acts]:
        return [acts_of(self.dialogues[d].messages[m]) for d, m in self.turns]

    @property
    def groups(self) -> list[str]:
        """The dialogue that each reply stands in."""
        return [self.dialogues[d].id for d, _ in self.turns]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one test set: `count` replies (or dialogues, for losses) it was taken over."""

    test_set: str
    measure: str
    interval: Interval
    count: int
    signature: str = ""


@dataclass(slots=True)
class Table:
    """The figures of a model; `answered` keeps the replies, to read or to compare."""

    rows: list[Row] = field(default_factory=list)
    answered: dict[str, Answered] = field(default_factory=dict)

    def value(self, test_set: str, measure: str) -> Interval:
        """One figure; raises KeyError for one that is not there."""
        for row in self.rows:
            if (row.test_set, row.measure) == (test_set, measure):
                return row.interval
        raise KeyError(f"no {measure!r} on {test_set!r}; there are {sorted(self.measures())}")

    def measures(self) -> list[str]:
        return list(dict.fromkeys(row.measure for row in self.rows))

    def test_sets(self) -> list[str]:
        return list(dict.fromkeys(row.test_set for row in self.rows))

    def __str__(self) -> str:
        lines = []
        for name in self.test_sets():
            lines.append(f"{name:<34}{'':>9}   95% interval          over")
            lines += [_line(row) for row in self.rows if row.test_set == name] + [""]
        return "\n".join(lines).rstrip()

    def markdown(self) -> str:
        """A table with a row for each measure and a column for each test set."""
        sets = self.test_sets()
        lines = ["| measure | " + " | ".join(sets) + " |", "|---|" + "---|" * len(sets)]
        for measure in self.measures():
            found = {r.test_set: r.interval for r in self.rows if r.measure == measure}
            cells = (_cell(found[name]) if name in found else "" for name in sets)
            lines.append(f"| {measure} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Test set -> measure -> value, low, high, count, signature."""
        found: dict[str, dict[str, Any]] = {name: {} for name in self.test_sets()}
        for row in self.rows:
            i = row.interval
            found[row.test_set][row.measure] = {
                "value": i.value,
                "low": i.low,
                "high": i.high,
                "count": row.count,
                "signature": row.signature,
            }
        return found


def _line(row: Row) -> str:
    i = row.interval
    return f"  {row.measure:<32}{i.value:>9.3f}   {i.low:>7.3f} to {i.high:<7.3f}{row.count:>10,}"


def _cell(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f}–{interval.high:.3f})"


def evaluate_all(
    model: Any,
    tokenizer: Any,
    sets: Mapping[str, Sequence[Dialogue]],
    recognise: Recogniser | None = None,
    max_new_tokens: int = 64,
    batch_size: int = 64,
    on_progress: Callable[[str, int, int], None] | None = None,
    values: dict[str, set[str]] | None = None,
    seed: int = 0,
) -> Table:
    """All measures on all test sets, by name.

    `recognise` sees the acts in replies (`acts.learn_acts`); without it no act is measured.
    `values` gives every value of each slot for exact facts, by default those of the sets together.
    `on_progress(set, done, of)` is told how many replies there are.
    """
    table = Table()
    known = values if values is not None else known_values(sets)
    for name, dialogues in sets.items():
        tell = _telling(on_progress, name, dialogues)
        found = answer(model, tokenizer, dialogues, recognise, max_new_tokens, batch_size, tell)
        table.answered[name] = found
        cost = losses(model, tokenizer, found.dialogues)
        for score, label in (
            (cost.loss, "loss"),
            (cost.perplexity, "perplexity"),
            (cost.perplexity_per_byte, "perplexity per byte"),
            (cost.accuracy, "token accuracy"),
        ):
            table.rows.append(_row(name, label, score, cost.dialogue_ids, seed))
        table.rows += [
            _row(name, label, score, groups, seed)
            for label, score, groups in measures_of(found, known)
        ]
    return table


def _row(name: str, label: str, score: Any, groups: Sequence[str], seed: int) -> Row:
    interval = score.interval(groups, RESAMPLES, seed)
    return Row(name, label, interval, len(groups), score.signature)


def _telling(
    on_progress: Callable[[str, int, int], None] | None, name: str, dialogues: Sequence[Dialogue]
) -> Callable[[int], None] | None:
    if on_progress is None:
        return None
    of, done = len(reply_turns(dialogues)), 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        on_progress(name, done, of)

    return tell


def reply_turns(dialogues: Sequence[Dialogue]) -> list[tuple[int, int]]:
    """(dialogue, message) numbers of the assistant turns that answer something."""
    return [
        (d, m)
        for d, dialogue in enumerate(dialogues)
        for m, message in enumerate(dialogue.messages)
        if message.role == "assistant" and message.train and m > 0
    ]


def answer(
    model: Any,
    tokenizer: Any,
    dialogues: Sequence[Dialogue],
    recognise: Recogniser | None = None,
    max_new_tokens: int = 64,
    batch_size: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> Answered:
    """The model's reply in place of each assistant turn, after the gold history."""
    turns = reply_turns(dialogues)
    if not turns:
        raise ValueError("no assistant turn answers anything in these dialogues")
    views = [dialogue.to_messages() for dialogue in dialogues]
    histories = [views[d][:m] for d, m in turns]
    found = generate_replies(model, tokenizer, histories, max_new_tokens, batch_size, on_batch)
    said = tuple(recognise([reply.text for reply in found])) if recognise else None
    return Answered(tuple(dialogues), tuple(turns), tuple(found), said)


Measured = tuple[str, Score | replies.Distinct, list[str]]


def measures_of(found: Answered, values: dict[str, set[str]] | None = None) -> list[Measured]:
    """(name, score, dialogue of each item) of all that replies alone can tell."""
    groups, texts, gold = found.groups, found.texts, found.gold
    scores: list[Measured] = [
        ("stop rate", replies.stop_rate(found.replies), groups),
        ("BLEU", overlap.bleu(texts, gold), groups),
        ("chrF", overlap.chrf(texts, gold), groups),
        ("ROUGE-L", overlap.rouge_l(texts, gold), groups),
        ("length in words", replies.lengths(texts), groups),
        ("repetition", replies.repetition(texts), groups),
        ("distinct-1", replies.distinct_n(texts, 1), groups),
        ("distinct-2", replies.distinct_n(texts, 2), groups),
    ]
    return [*_facts(found, values), *_acts(found), *scores]


def _facts(found: Answered, values: dict[str, set[str]] | None) -> list[Measured]:
    """Exact facts, judged on the replies that are there."""
    reply_at = dict(zip(found.turns, found.replies, strict=True))
    where = {dialogue.id: d for d, dialogue in enumerate(found.dialogues)}
    asked = [
        (question, reply_at[place])
        for question in fact_questions(found.dialogues, values)
        if (place := (where[question.dialogue_id], len(question.history))) in reply_at
    ]
    if not asked:
        return []
    right = [float(states_fact(reply.text, question)) for question, reply in asked]
    return [("exact facts", score_of(right, "exact facts"), [q.dialogue_id for q, _ in asked])]


def _acts(found: Answered) -> list[Measured]:
    if found.said is None or not any(found.true):
        return []
    scores: list[Measured] = []
    for act, name in ((ASK, "ask"), (CONFIRM, "confirm")):
        due, seen = _sides(found, act)
        if any(due):
            scores.append((f"{name} F1", classes.f1(due, seen, average="micro"), found.groups))
    return scores + _handing_over(found) + _declining(found)


def _handing_over(found: Answered) -> list[Measured]:
    """Where gold hands over: does the reply hand over, or at least ask what is meant?"""
    seen = found.said or ()
    due = [i for i, acts in enumerate(found.true) if HANDOVER in acts]
    if not due:
        return []
    groups = [found.groups[i] for i in due]
    over = [float(HANDOVER in seen[i]) for i in due]
    asks = [float(bool(act_labels(seen[i], ASK))) for i in due]
    either = [max(pair) for pair in zip(over, asks, strict=True)]
    return [
        ("hand-over", score_of(over, "hand-over"), groups),
        ("hand-over or clarification", score_of(either, "hand-over or clarification"), groups),
    ]


def _declining(found: Answered) -> list[Measured]:
    """Requests out of scope: how many are declined, and how many refusals are due."""
    due, seen = _sides(found, DECLINE)
    if not any(due):
        return []
    return [
        ("out-of-scope recall", classes.recall(due, seen, label=DECLINE), found.groups),
        ("out-of-scope precision", classes.precision(due, seen, label=DECLINE), found.groups),
    ]


def _sides(found: Answered, act: str) -> tuple[list[Acts], list[Acts]]:
    """For each turn the labels of one act: those that are due, and those seen in the reply."""
    due, seen = (
        [act_labels(acts, act) for acts in side] for side in (found.true, found.said or ())
    )
    return due, seen


def known_values(sets: Mapping[str, Sequence[Dialogue]]) -> dict[str, set[str]]:
    """Every value that the dialogues inform of, by slot: the rivals of each other."""
    known: dict[str, set[str]] = {}
    for question in fact_questions([d for dialogues in sets.values() for d in dialogues]):
        for slot, value in question.required:
            known.setdefault(slot, set()).add(value)
    return known
