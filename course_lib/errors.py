"""Errors by kind: what is wrong with a reply, told from the annotation of the turn it stands for.

A reply is judged with the gold history before it, so that one error never causes the next. Facts
are compared value by value, as in `metrics.facts`; what a reply does (asks, confirms, hands over)
is read by a small classifier trained on the annotated turns of the agents.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.annotation.baselines import tfidf
from course_lib.dialogue import Dialogue, Message
from course_lib.generation import generate
from course_lib.metrics import FactQuestion, fact_questions, states_fact
from course_lib.transfer import Share

RIGHT = "right"
KINDS = {
    RIGHT: "says or does what it should",
    "no end": "was still talking when its room was used up",
    "looped": "says the same words over and over",
    "cut off": "ends in the middle of a sentence",
    "wrong product": "speaks of another product than the customer's",
    "wrong value": "states another value than the right one",
    "value missing": "does not state a value that was asked for",
    "did not ask": "should have asked for what is missing",
    "asked for something else": "asks, but not for what is missing",
    "asked needlessly": "asks for what it could know",
    "did not confirm": "should have asked before it acts",
    "did not act": "should have done what was settled",
    "did not hand over": "should have called a colleague",
    "did not decline": "should have said that this is not its business",
    "off the point": "answers something that nobody asked",
}
_MISSED = {  # what a reply fails to do, by what the agent did there
    "confirm": "did not confirm",
    "notify": "did not act",
    "handover": "did not hand over",
    "decline": "did not decline",
}
_NO_REQUEST, _ALL = "none", "all"
_MAIN_ACTS = ("handover", "decline", "leave", "notify", "confirm", "request", "inform")
_NUMBER = re.compile(r"\d{6,}")
_END = re.compile(r"[.!?…][\"')\]]*\s*$")


@dataclass(frozen=True, slots=True)
class Case:
    """One turn of an agent: what came before it, what it is about, and what the agent said.

    `intent` is that of the customer's latest turn; `product` the one that was named last.
    """

    dialogue_id: str
    turn: int
    history: tuple[dict[str, Any], ...]
    intent: str
    product: str
    gold: Message
    question: FactQuestion | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A case, the reply it got, and the kind of error in it ("right" when there is none)."""

    case: Case
    reply: str
    kind: str

    @property
    def is_right(self) -> bool:
        return self.kind == RIGHT


def cases_of(dialogues: Iterable[Dialogue]) -> list[Case]:
    """Every agent's turn that answers a customer, with the gold history before it."""
    dialogues = list(dialogues)
    asked = {(q.dialogue_id, len(q.history)): q for q in fact_questions(dialogues)}
    return [
        _case(dialogue, turn, asked.get((dialogue.id, turn)))
        for dialogue in dialogues
        for turn in range(1, len(dialogue.messages))
        if dialogue.messages[turn].role == "assistant"
        and dialogue.messages[turn - 1].role == "user"
    ]


def _case(dialogue: Dialogue, turn: int, question: FactQuestion | None) -> Case:
    messages = dialogue.messages[: turn + 1]
    named = [e.value for m in messages for e in m.entities if e.slot == "product"]
    return Case(
        dialogue.id,
        turn,
        tuple(dialogue.to_messages()[:turn]),
        messages[turn - 1].intent or _NO_REQUEST,
        named[-1] if named else _NO_REQUEST,
        messages[turn],
        question,
    )


# ---- what a reply does


def main_act(message: Message) -> str:
    """The one act that counts of an agent's turn: "request address", "confirm", …, or "social".

    Of several the one that commits the shop most: who informs and asks, asks.
    """
    acts = {str(act): slot for act, slot in message.acts}
    first = next((act for act in _MAIN_ACTS if act in acts), "social")
    return f"request {acts['request']}" if first == "request" else first


@dataclass(slots=True)
class ActReader:
    """Reads the main act of a reply from its words."""

    model: Any

    def read(self, replies: Sequence[str]) -> list[str]:
        """One act a reply, as `main_act` names them."""
        return [str(act) for act in self.model.predict(list(replies))] if replies else []

    def right_share(self, dialogues: Iterable[Dialogue]) -> float:
        """On how many of the agents' own turns it reads what the annotation says."""
        turns = _turns(dialogues)
        read = self.read([text for text, _ in turns])
        return sum(a == b for a, (_, b) in zip(read, turns, strict=True)) / len(turns)


def act_reader(dialogues: Iterable[Dialogue], most: int = 4000) -> ActReader:
    """Trains a reader on the first `most` annotated turns of agents."""
    turns = _turns(dialogues)[:most]
    if len({act for _, act in turns}) < 2:
        raise ValueError(f"{len(turns)} agents' turns with acts: too few to tell acts apart")
    return ActReader(tfidf(turns))


def _turns(dialogues: Iterable[Dialogue]) -> list[tuple[str, str]]:
    turns = (m for d in dialogues for m in d.messages if m.role == "assistant" and m.acts)
    return [(message.content, main_act(message)) for message in turns]


# ---- what is wrong with it


@dataclass(slots=True)
class Names:
    """Finds the products that a text speaks of, among those that are known."""

    values: dict[str, str]
    pattern: re.Pattern[str]

    def found_in(self, text: str) -> set[str]:
        return {self.values[name.casefold()] for name in self.pattern.findall(text)}


def product_names(dialogues: Iterable[Dialogue]) -> Names:
    """Every product that an annotation names, in full ("Brisa kettle") or by its name ("Brisa")."""
    entities = [e for d in dialogues for m in d.messages for e in m.entities if e.slot == "product"]
    values = {entity.value.split()[0].casefold(): entity.value for entity in entities}
    values |= {entity.text.casefold(): entity.value for entity in entities}
    if not values:
        raise ValueError("no product in the annotations: entities with the slot 'product' are it")
    longest_first = sorted(values, key=len, reverse=True)
    pattern = r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)"
    return Names(values, re.compile(pattern, re.IGNORECASE))


def loops(text: str, words: int = 3, times: int = 3) -> bool:
    """Whether some `words` words stand in the text at least `times` times."""
    said = text.casefold().split()
    pieces = Counter(tuple(said[i : i + words]) for i in range(len(said) - words + 1))
    return max(pieces.values(), default=0) >= times


def kind_of(case: Case, reply: str, act: str, names: Names, ended: bool = True) -> str:
    """The first thing that is wrong with a reply, one of `KINDS`.

    `act` is what the reply does, as `ActReader` reads it; `ended` whether it came to an end itself.
    """
    if loops(reply):
        return "looped"
    if not ended:
        return "no end"
    if not _END.search(reply):
        return "cut off"
    if case.question is not None:
        return _kind_of_fact(case, reply, act, names)
    return _kind_of_act(case, reply, act, names)


def _kind_of_fact(case: Case, reply: str, act: str, names: Names) -> str:
    assert case.question is not None
    if _another_product(case, reply, names):
        return "wrong product"
    if states_fact(reply, case.question):
        return RIGHT
    lenient = FactQuestion("", (), (), case.question.rivals)
    if not states_fact(reply, lenient):  # it names a rival
        return "wrong value"
    return "asked needlessly" if act.startswith(("request", "confirm")) else "value missing"


def _kind_of_act(case: Case, reply: str, act: str, names: Names) -> str:
    wanted = main_act(case.gold)
    if act != wanted:
        return _kind_of_wrong_act(wanted, act)
    if _another_product(case, reply, names):
        return "wrong product"
    return "wrong value" if _strange_number(case, reply) else RIGHT


def _kind_of_wrong_act(wanted: str, act: str) -> str:
    if wanted.startswith("request"):
        return "asked for something else" if act.startswith("request") else "did not ask"
    if act.startswith("request"):
        return "asked needlessly"
    return _MISSED.get(wanted, "off the point")


def _another_product(case: Case, reply: str, names: Names) -> bool:
    spoken_of = names.found_in(case.gold.content) or {case.product}
    return bool(names.found_in(reply) - spoken_of)


def _strange_number(case: Case, reply: str) -> bool:
    """Whether the reply gives a long number that neither the history nor the agent had."""
    texts = [case.gold.content, *(message["content"] for message in case.history)]
    known = {number for text in texts for number in _NUMBER.findall(text)}
    return bool(set(_NUMBER.findall(reply)) - known)


def judge_replies(
    cases: Sequence[Case],
    replies: Sequence[str],
    reader: ActReader,
    names: Names,
    ended: Sequence[bool] | None = None,
) -> ErrorTable:
    """The kind of every reply; raises ValueError unless there is one reply a case."""
    if len(cases) != len(replies) or (ended is not None and len(ended) != len(cases)):
        raise ValueError(f"{len(replies)} replies to {len(cases)} cases: give one each")
    acts = reader.read(replies)
    done = [True] * len(cases) if ended is None else ended
    rows = zip(cases, replies, acts, done, strict=True)
    return ErrorTable([Judged(c, r, kind_of(c, r, act, names, end)) for c, r, act, end in rows])


def answer_cases(
    model: Any,
    tokenizer: Any,
    cases: Sequence[Case],
    max_new_tokens: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> tuple[list[str], list[bool]]:
    """Greedy replies to the cases, and whether each ended before its room was used up."""
    histories = [case.history for case in cases]
    replies = generate(model, tokenizer, histories, max_new_tokens, on_batch=on_batch)
    lengths = [len(tokenizer(r, add_special_tokens=False)["input_ids"]) for r in replies]
    return replies, [length < max_new_tokens for length in lengths]


# ---- reading them


@dataclass(slots=True)
class ErrorTable:
    """Judged replies, to be counted, filtered and read one at a time; `str()` counts the kinds."""

    rows: list[Judged]

    def __len__(self) -> int:
        return len(self.rows)

    def counts(self, by: str = "kind") -> dict[str, int]:
        """How many rows there are by "kind", "intent" or "product", the most frequent first."""
        return dict(Counter(_field(row, by) for row in self.rows).most_common())

    def options(self, by: str) -> list[str]:
        """What `filtered` may be asked for: "all", and every value there is, by frequency."""
        return [_ALL, *self.counts(by)]

    def errors(self) -> ErrorTable:
        """Only the rows with something wrong."""
        return ErrorTable([row for row in self.rows if not row.is_right])

    def filtered(self, kind: str = _ALL, intent: str = _ALL, product: str = _ALL) -> ErrorTable:
        """The rows that fit every filter; "all" lets everything through."""
        wanted = {"kind": kind, "intent": intent, "product": product}
        asked = {by: value for by, value in wanted.items() if value != _ALL}
        fits = [row for row in self.rows if all(_field(row, b) == v for b, v in asked.items())]
        return ErrorTable(fits)

    def cross(self, by: str = "intent", most: int = 8) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of a table: errors by kind, one line for each of the worst groups."""
        wrong, all_of = self.errors(), self.counts(by)
        kinds = list(wrong.counts())
        columns = [by, "replies", "wrong", *kinds]
        rows = []
        for group in list(wrong.counts(by))[:most]:
            found = Counter(row.kind for row in wrong.rows if _field(row, by) == group)
            rows.append([group, all_of[group], found.total(), *(found[kind] for kind in kinds)])
        return columns, rows

    def right(self) -> Share:
        """The share of right replies, with its interval."""
        return Share(sum(row.is_right for row in self.rows), len(self.rows))

    def lines(self, most: int = 5) -> list[list[str]]:
        """[kind, intent, customer, gold, reply] of the first rows, for a plain table."""
        return [
            [r.kind, r.case.intent, r.case.history[-1]["content"], r.case.gold.content, r.reply]
            for r in self.rows[:most]
        ]

    def __str__(self) -> str:
        found, total = self.counts(), len(self.rows)
        width = max((len(kind) for kind in found), default=0)
        lines = [f"{kind:<{width}}  {n:>4}  {n / total:5.1%}" for kind, n in found.items()]
        return "\n".join(lines) or "no replies"


LINE = ["kind", "intent", "customer", "gold", "reply"]


def _field(row: Judged, by: str) -> str:
    fields = {"kind": row.kind, "intent": row.case.intent, "product": row.case.product}
    if by not in fields:
        raise ValueError(f"{by!r}: choose from {', '.join(fields)}")
    return fields[by]
