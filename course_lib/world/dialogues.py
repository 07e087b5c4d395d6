"""Writes the shop's dialogues: an agent that keeps the policy against a seeded customer.

A family is a list of tasks (what the customer wants). Its variants differ in wording, mood and
course: what is said at once or asked for, corrections, interruptions, small talk, typos. Every
message is annotated while it is written, so spans and facts are exact by construction.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.dialogue import Dialogue, Message
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, Product
from course_lib.world.wordings import Language, Piece, Wording, assemble, fill_pieces

MAX_MESSAGES = 14
OPERATIONS = {
    "order_status": ("order_number",),
    "cancel_order": ("order_number",),
    "return_item": ("product", "order_number"),
    "change_address": ("order_number", "address"),
    "warranty_claim": ("product", "order_number"),
    "missing_parcel": ("order_number",),
    "reset_password": (),
    "newsletter": (),
}
CONFIRMED = ("cancel_order", "return_item", "change_address")
POLICIES = {
    "ask_hours": "support_hours",
    "ask_hotline": "hotline",
    "ask_return_window": "return_window",
    "ask_delivery_time": "delivery_time",
    "ask_shipping_price": "shipping_price",
    "ask_refund_time": "refund_time",
    "ask_exchange_window": "exchange_window",
    "ask_repair_time": "repair_time",
    "ask_gift_wrap_price": "gift_wrap_price",
    "ask_express_price": "express_price",
}
# Wishes of no training dialogue (`test_intent`): handed over like every wish beyond the chat.
HELD_OUT_INTENTS = ("price_match", "delete_account", "change_payment")
BEYOND_CHAT = ("other_request", *HELD_OUT_INTENTS)
HANDED_OVER = ("complaint", "human_agent", *BEYOND_CHAT)
LITERAL = ("out_of_scope", *BEYOND_CHAT)  # said in one fixed wording, the task's topic
FACT_INTENTS = {f"ask_{slot}": slot for slot in FACT_SLOTS}
# The strongest outcome of a dialogue's tasks is the dialogue's.
OUTCOMES = ("handed_over", "done", "withdrawn", "answered", "declined", "chatted")
_FIELD_OF = {"product": "product", "order_number": "order", "address": "address"}
_MOOD_SHARES = {"neutral": 45, "terse": 14, "chatty": 14, "polite": 14, "annoyed": 13}
_LATE_TOPICS = ("compliment", "joke", "are_you_human")
_GREETINGS = ("hi", "hello", "hey", "good ", "excuse", "sorry", "would you have")

STREETS = (
    "Linden Lane", "Mill Road", "Harbour Street", "Orchard Way", "Chapel Hill", "Station Road",
    "Meadow Close", "Bridge Street", "Willow Avenue", "Castle Row", "Quarry Road", "Poplar Street",
    "Garden Terrace", "North Parade", "Weaver Street", "Fountain Square",
)  # fmt: skip
TOWNS = (
    "Aldenbruck", "Fernhollow", "Marlingen", "Oxbury", "Sandmere", "Tallowby", "Westrow",
    "Ivelbach",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """One thing the customer wants: an intent and the slots that go with it."""

    intent: str
    slots: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The value of one slot, or None."""
        return dict(self.slots).get(name)


@dataclass(frozen=True, slots=True)
class Family:
    """One scenario: its id, its tasks and a second order number for corrections."""

    id: str
    tasks: tuple[Task, ...]
    spare_order: str

    def goal(self) -> dict[str, object]:
        """The record's goal; a second task's intent and slots carry the suffix `_2`, and so on."""
        slots: dict[str, str] = {}
        for number, task in enumerate(self.tasks, start=1):
            suffix = "" if number == 1 else f"_{number}"
            if number > 1:
                slots[f"intent{suffix}"] = task.intent
            slots.update({f"{name}{suffix}": value for name, value in task.slots})
        return {"intent": self.tasks[0].intent, "slots": slots}

    def policy(self) -> dict[str, object]:
        """What the agent must ask for, what it must confirm, and how it must end."""
        asks: list[str] = []
        for task in self.tasks:
            asks += [slot for slot in _needed(task.intent) if slot not in asks]
        confirms = [task.intent for task in self.tasks if task.intent in CONFIRMED]
        outcomes = {_outcome(task) for task in self.tasks}
        return {
            "must_ask": asks,
            "must_confirm": confirms,
            "outcome": min(outcomes, key=OUTCOMES.index),
        }


def _needed(intent: str) -> tuple[str, ...]:
    return ("product",) if intent in FACT_INTENTS else OPERATIONS.get(intent, ())


def _outcome(task: Task) -> str:
    if task.get("decision") == "no":
        return "withdrawn"
    if task.intent in HANDED_OVER:
        return "handed_over"
    if task.intent in OPERATIONS:
        return "done"
    return {"out_of_scope": "declined", "small_talk": "chatted"}.get(task.intent, "answered")


@dataclass
class Talk:
    """A dialogue in the making: messages so far and what both sides know by now."""

    family: Family
    catalogue: Catalogue
    language: Language
    others: Sequence[Product]
    rng: random.Random
    mood: str
    messages: list[Message] = field(default_factory=list)
    focus: Product | None = None
    last_fact: str | None = None
    known: dict[str, str] = field(default_factory=dict)
    offered: bool = False
    answered: bool = False
    waiting: list[Task] = field(default_factory=list)
    used: set[tuple[str, str]] = field(default_factory=set)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.rng.random() < probability

    def _fresh(self, side: str, *choice: Any) -> Wording:
        """A wording that this side has not used yet, where a few draws find one."""
        for _ in range(6):
            wording = self.language.choose(self.rng, side, *choice)
            if (side, wording.text) not in self.used:
                break
        self.used.add((side, wording.text))
        return wording

    # -- customer ------------------------------------------------------------------------------

    def customer(
        self,
        intent: str,
        pieces: list[Piece],
        acts: list[list[str | None]],
    ) -> None:
        """Adds a customer's message, with the mood's spelling and now and then a typo."""
        pieces = _spell(pieces, self.mood, self.rng)
        content, entities = assemble(pieces)
        self.messages.append(Message("user", content, intent, entities, acts))
        self.offered = False

    def words(
        self,
        intent: str,
        sections: Iterable[str] = ("main",),
        within: Iterable[str] = (),
        needs: Iterable[str] = (),
        **values: str,
    ) -> list[Piece]:
        """A customer's wording of `intent`, filled with `values` (by record slot name)."""
        wording = self._fresh("customer", intent, sections, self.mood, within, needs)
        product = self.catalogue.by_name(values["product"]) if "product" in values else self.focus
        fields = {_FIELD_OF[name]: Piece(text, name, text) for name, text in values.items()}
        if product is not None and "product" in wording.slots:
            fields["product"] = self._mention(product)
        return fill_pieces(wording.text, fields, product is not None and product.is_plural)

    def _mention(self, product: Product) -> Piece:
        """The product as a customer names it: in full, by its name only, or in small letters."""
        text = product.full_name
        if not product.is_plural and self.chance(0.12):
            text = product.name
        if self.chance(0.5 if self.mood == "terse" else 0.05):
            text = text.lower()
        return Piece(text, "product", product.full_name)

    # -- agent ---------------------------------------------------------------------------------

    def agent(self, pieces: list[Piece], acts: list[list[str | None]], more: bool = False) -> None:
        """Adds an agent's message; with `more`, now and then it asks for further wishes."""
        if more and self.chance(0.12):
            pieces = [*pieces, Piece(" "), *self.reply("anything_else")]
            acts = [*acts, ["offer", None]]
            self.offered = True
        content, entities = assemble(pieces)
        self.messages.append(Message("assistant", content, None, entities, acts))

    def reply(
        self,
        intent: str,
        sections: Iterable[str] = ("main",),
        fields: Mapping[str, Piece] | None = None,
    ) -> list[Piece]:
        """An agent's wording of `intent`, filled with `fields` and what it speaks of."""
        wording = self._fresh("agent", intent, sections)
        fields, product = dict(fields or {}), self.focus
        if product is not None:
            fields["product"] = Piece(product.full_name, "product", product.full_name)
        fields["shop"] = Piece(self.catalogue.policies["shop_name"])
        return fill_pieces(wording.text, fields, product is not None and product.is_plural)

    def fact(self, slot: str, sections: Sequence[str]) -> list[Piece]:
        """The focus product's fact, verbatim and annotated; a red light often with its cure."""
        assert self.focus is not None
        value = self.focus.facts[slot]
        pieces = self.reply(f"ask_{slot}", sections, {"value": Piece(value, slot, value)})
        if slot == "red_light" and self.chance(0.5):
            pieces.append(Piece(f" {self.catalogue.cures[value]}"))
        return pieces


def _spell(pieces: list[Piece], mood: str, rng: random.Random) -> list[Piece]:
    """Small letters and missing full stops of a hurried writer, a rare typo; slots stay."""
    if rng.random() < (0.75 if mood == "terse" else 0.05):
        pieces = _hurried(pieces)
    if rng.random() < (0.14 if mood in ("terse", "annoyed") else 0.07):
        pieces = mistyped(pieces, rng)
    return pieces


def _hurried(pieces: list[Piece]) -> list[Piece]:
    lowered = [p if p.slot else Piece(_lower_start(p.text)) for p in pieces[:1]] + pieces[1:]
    last = lowered[-1]
    if last.slot is None and len(lowered) > 1 or last.slot is None and len(last.text) > 4:
        lowered[-1] = Piece(last.text.rstrip(".!?"))
    return [piece for piece in lowered if piece.text]


def _lower_start(text: str) -> str:
    first = text.split(" ", 1)[0].strip(".,!?")
    return text if first in ("I", "My") and len(text) > 40 else text[:1].lower() + text[1:]


def mistyped(pieces: list[Piece], rng: random.Random) -> list[Piece]:
    """One typo in one longer word of the literal text: letters swapped, lost or doubled."""
    spots = [
        (index, position)
        for index, piece in enumerate(pieces)
        if piece.slot is None
        for position in range(1, len(piece.text) - 2)
        if piece.text[position - 1 : position + 3].isalpha() and piece.text[position].islower()
    ]
    if not spots:
        return pieces
    index, at = rng.choice(spots)
    text = pieces[index].text
    typo = rng.choice(
        (
            text[:at] + text[at + 1] + text[at] + text[at + 2 :],
            text[:at] + text[at + 1 :],
            text[: at + 1] + text[at:],
        )
    )
    return [*pieces[:index], Piece(typo), *pieces[index + 1 :]]


def _joined(first: list[Piece], joiner: str, second: list[Piece]) -> list[Piece]:
    """Two wordings in one message; after a comma or a bare word the second starts small."""
    if not joiner.endswith((".", "!", "?", ":")):
        second = [Piece(_small(second[0])), *second[1:]] if second[0].slot is None else second
    gap = [Piece(f" {joiner} ")] if first else [Piece(f"{joiner} ")]
    return [*first, *gap, *second]


def _small(piece: Piece) -> str:
    keep = piece.text.split(" ", 1)[0] in ("I", "Bluetooth")
    return piece.text if keep else piece.text[:1].lower() + piece.text[1:]


# -- one task after the other ------------------------------------------------------------------


def write_dialogue(
    family: Family,
    catalogue: Catalogue,
    language: Language,
    others: Sequence[Product],
    rng: random.Random,
) -> Dialogue:
    """One variant of a family; `others` are the products that a slip of the tongue may name."""
    for _ in range(50):
        mood = rng.choices(list(_MOOD_SHARES), list(_MOOD_SHARES.values()))[0]
        talk = Talk(family, catalogue, language, others, rng, mood)
        _play(talk)
        if 2 <= len(talk.messages) <= MAX_MESSAGES:
            return Dialogue(
                id="",
                messages=talk.messages,
                source="shop",
                family_id=family.id,
                goal=family.goal(),
                policy=family.policy(),
            )
    raise RuntimeError(f"family {family.id} does not fit into {MAX_MESSAGES} messages")


def _play(talk: Talk) -> None:
    _open(talk)
    talk.waiting = list(talk.family.tasks)
    while talk.waiting:
        task = talk.waiting.pop(0)
        if task.intent in FACT_INTENTS:
            _play_fact(talk, task)
        elif task.intent in OPERATIONS:
            _play_operation(talk, task)
        elif task.intent in POLICIES:
            _play_policy(talk, task)
        else:
            _play_other(talk, task)
    _close(talk)


def _open(talk: Talk) -> None:
    """Now and then a greeting on its own, from either side."""
    if talk.chance(0.04):
        talk.agent(talk.reply("greeting"), [["greet", None]])
    elif talk.chance(0.2):
        talk.customer("greeting", talk.words("greeting"), [["greet", None]])
        talk.agent(talk.reply("greeting"), [["greet", None]])


def _close(talk: Talk) -> None:
    sections = ["main", "after_answer"] if talk.answered else ["main"]
    if talk.chance(0.42):
        talk.customer("thanks", talk.words("thanks", sections), [["thank", None]])
        talk.agent(talk.reply("thanks"), [["welcome", None]])
    elif talk.chance(0.9 if talk.offered else 0.2):
        section = "no_more" if talk.offered else "main"
        talk.customer("goodbye", talk.words("goodbye", [section]), [["bye", None]])
        talk.agent(talk.reply("goodbye"), [["bye", None]])


def opened(talk: Talk, pieces: list[Piece]) -> list[Piece]:
    """The first request may come with an opener; later ones come as they are."""
    start = pieces[0].text.lower()
    if talk.messages or talk.mood == "terse" or start.startswith(_GREETINGS):
        return pieces
    if not talk.chance(0.25):
        return pieces
    text = "".join(piece.text for piece in pieces)
    asks = re.match(r"[^.!?]*\?", text) is not None
    sections = ("main", "question") if asks else ("main",)
    opener = talk.language.choose(talk.rng, "customer", "openers", sections, talk.mood)
    return _joined([], opener.text, pieces)


# -- facts -------------------------------------------------------------------------------------


def _play_fact(talk: Talk, task: Task) -> None:
    product = talk.catalogue.by_name(task.get("product") or "")
    slots = [FACT_INTENTS[task.intent]]
    follows = talk.waiting and talk.waiting[0].get("product") == product.full_name
    if follows and talk.waiting[0].intent in FACT_INTENTS and talk.chance(0.35):
        slots.append(FACT_INTENTS[talk.waiting.pop(0).intent])
    wrong = _slip(talk, product, slots)
    same_again = talk.focus != product and [talk.last_fact] == slots
    if same_again and talk.chance(0.8):
        _switch(talk, "other_product", product, slots)
    elif talk.focus is None and talk.chance(0.2):
        _ask_unnamed(talk, product, slots)
    else:
        sections = _in_context(talk) if talk.focus == product else ("main",)
        talk.focus = product if talk.focus == product else wrong or product
        alone = len(slots) == 1 and talk.focus == product
        if alone and talk.waiting and talk.waiting[0].intent in POLICIES and talk.chance(0.4):
            slots.append(talk.waiting.pop(0).intent)
        _ask(talk, slots, sections)
    _answer(talk, slots)
    if wrong is not None and talk.focus == wrong:
        _switch(talk, "correct_product", product, slots)
        _answer(talk, slots, acknowledge=talk.chance(0.5))


def _slip(talk: Talk, product: Product, slots: list[str]) -> Product | None:
    """Another product that the customer names by mistake, seldom."""
    fitting = [p for p in talk.others if p != product and all(s in p.facts for s in slots)]
    akin = [p for p in fitting if p.kind == product.kind] or fitting
    return talk.rng.choice(akin) if akin and talk.chance(0.07) else None


def _in_context(talk: Talk) -> tuple[str, ...]:
    """Later questions on the same product mostly leave out its name."""
    if talk.last_fact is not None and talk.chance(0.85):
        return ("vague", "follow_up")
    return ("vague",) if talk.chance(0.7) else ("main",)


def _requests(slots: list[str]) -> list[list[str | None]]:
    return [["request", POLICIES.get(slot, slot)] for slot in slots]


def _ask(talk: Talk, slots: list[str], sections: tuple[str, ...]) -> None:
    """Asks for the first slot, and in the same breath for the others."""
    assert talk.focus is not None
    name = talk.focus.full_name
    pieces = talk.words(f"ask_{slots[0]}", sections, ("product",), product=name)
    pieces = _and_more(talk, pieces, slots[1:], name)
    talk.customer(f"ask_{slots[0]}", opened(talk, pieces), _requests(slots))


def _and_more(talk: Talk, pieces: list[Piece], slots: list[str], name: str) -> list[Piece]:
    """`pieces` with a question for each further slot (or policy) of the product `name`."""
    for slot in slots:
        joiner = talk.language.choose(talk.rng, "customer", "joiners").text
        if slot in POLICIES:
            more = talk.words(slot)
        else:
            more = talk.words(f"ask_{slot}", ("vague",), product=name)
        pieces = _joined(_stopped(pieces), joiner, more)
    return pieces


def _stopped(pieces: list[Piece]) -> list[Piece]:
    """With a full stop at its end, where the wording has none."""
    return pieces if pieces[-1].text.endswith((".", "!", "?")) else [*pieces, Piece(".")]


def _ask_unnamed(talk: Talk, product: Product, slots: list[str]) -> None:
    """The customer forgets the name, the agent asks for it."""
    pieces = talk.words(f"ask_{slots[0]}", ("vague",), product=product.full_name)
    talk.customer(f"ask_{slots[0]}", opened(talk, pieces), _requests(slots[:1]))
    talk.agent(talk.reply("ask_product"), [["request", "product"]])
    talk.focus = product
    given = talk.words("give_product", ("main",), ("product",), product=product.full_name)
    given = _and_more(talk, given, slots[1:], product.full_name)
    talk.customer("give_product", given, [["inform", "product"], *_requests(slots[1:])])


def _switch(talk: Talk, intent: str, product: Product, slots: list[str]) -> None:
    """The same question for another product, or for the one that was meant."""
    talk.focus = product
    pieces = talk.words(intent, ("main",), ("product",), product=product.full_name)
    talk.customer(intent, pieces, [["inform", "product"], *_requests(slots)])


def _answer(talk: Talk, slots: list[str], acknowledge: bool = False, more: bool = True) -> None:
    pieces, acts = _fact_reply(talk, slots)
    if acknowledge:
        pieces = [*talk.reply("acknowledge_correction"), Piece(" "), *pieces]
        acts = [["acknowledge", None], *acts]
    talk.agent(pieces, acts, more)


def _fact_reply(talk: Talk, slots: list[str]) -> tuple[list[Piece], list[list[str | None]]]:
    """The facts; the agent names the product unless the customer just did, so a mix-up shows."""
    just_named = any(entity.slot == "product" for entity in talk.messages[-1].entities)
    brief = just_named and len(slots) == 1 and talk.chance(0.3)
    pieces = talk.fact(slots[0], ("short", "bare") if brief else ("main",))
    acts: list[list[str | None]] = [["inform", slots[0]]]
    for slot in slots[1:]:
        if slot in POLICIES:
            more, told = _policy_reply(talk, slot)
        else:
            more, told = talk.fact(slot, ("short",)), [["inform", slot]]
        pieces, acts = [*pieces, Piece(" "), *more], [*acts, *told]
    talk.last_fact, talk.answered = slots[-1] if len(slots) == 1 else None, True
    return pieces, acts


# -- orders ------------------------------------------------------------------------------------


def _play_operation(talk: Talk, task: Task) -> None:
    values = {name: task.get(name) or "" for name in OPERATIONS[task.intent]}
    confirmed = task.intent in CONFIRMED and task.get("decision") != "no"
    order_slip = confirmed and talk.chance(0.12) and "order_number" not in talk.known
    if order_slip:
        values["order_number"] = talk.family.spare_order
    _request_operation(talk, task.intent, values)
    for slot in OPERATIONS[task.intent]:
        if slot not in talk.known:
            _ask_for(talk, slot, values)
    if task.intent in CONFIRMED:
        _confirm(talk, task.intent, values)
        if order_slip:
            values["order_number"] = task.get("order_number") or ""
            _correct_order(talk, task.intent, values)
        _decide(talk, task)
    if task.get("decision") == "no":
        talk.agent(talk.reply("not_done"), [["leave", task.intent]], more=True)
    else:
        done = f"done_{task.intent}" if task.intent in CONFIRMED else task.intent
        talk.agent(_order_reply(talk, done, values), [["notify", task.intent]], more=True)
    talk.last_fact, talk.answered = None, False
    talk.known = {name: value for name, value in talk.known.items() if name == "order_number"}


def _request_operation(talk: Talk, intent: str, values: dict[str, str]) -> None:
    """The request; what is known already is not said again, what is said now is known after."""
    within = [_FIELD_OF[name] for name in values if name not in talk.known]
    talked_of = talk.focus is not None and values.get("product") == talk.focus.full_name
    if "product" in values:
        talk.focus = talk.catalogue.by_name(values["product"])
    needs = ("product",) if talked_of else ()
    pieces = talk.words(intent, ("main",), within, needs, **values)
    said = {piece.slot for piece in pieces if piece.slot}
    talk.known.update({name: values[name] for name in values if name in said})
    informs: list[list[str | None]] = [["inform", name] for name in values if name in said]
    talk.customer(intent, opened(talk, pieces), [["request", intent], *informs])


def _ask_for(talk: Talk, slot: str, values: dict[str, str]) -> None:
    talk.agent(talk.reply(f"ask_{slot}"), [["request", slot]])
    aside = talk.waiting[0] if talk.waiting else None
    if slot == "order_number" and aside and aside.intent in FACT_INTENTS and talk.chance(0.5):
        talk.waiting.pop(0)
        _aside(talk, aside)
    given = talk.words(f"give_{slot}", ("main",), (_FIELD_OF[slot],), **{slot: values[slot]})
    talk.customer(f"give_{slot}", given, [["inform", slot]])
    talk.known[slot] = values[slot]


def _aside(talk: Talk, task: Task) -> None:
    """A question in between: the agent answers it and returns to what it needs."""
    before, slot = talk.focus, FACT_INTENTS[task.intent]
    talk.focus = talk.catalogue.by_name(task.get("product") or "")
    _ask(talk, [slot], ("main",))
    pieces, acts = _fact_reply(talk, [slot])
    again = talk.reply("ask_order_number", ("again",))
    talk.agent([*pieces, Piece(" "), *again], [*acts, ["request", "order_number"]])
    talk.focus = before or talk.focus


def _order_reply(talk: Talk, intent: str, values: dict[str, str]) -> list[Piece]:
    fields = {_FIELD_OF[name]: Piece(text, name, text) for name, text in values.items()}
    fields.pop("product", None)
    return talk.reply(intent, fields=fields)


def _confirm(talk: Talk, intent: str, values: dict[str, str]) -> None:
    talk.agent(_order_reply(talk, f"confirm_{intent}", values), [["confirm", intent]])


def _correct_order(talk: Talk, intent: str, values: dict[str, str]) -> None:
    number = values["order_number"]
    pieces = talk.words("correct_order", ("main",), ("order",), order_number=number)
    talk.customer("correct_order", pieces, [["deny", None], ["inform", "order_number"]])
    talk.known["order_number"] = number
    _confirm(talk, intent, values)


def _decide(talk: Talk, task: Task) -> None:
    answer = "deny" if task.get("decision") == "no" else "affirm"
    talk.customer(answer, talk.words(answer), [[answer, None]])


# -- everything else ---------------------------------------------------------------------------


def _play_policy(talk: Talk, task: Task) -> None:
    pieces = opened(talk, talk.words(task.intent))
    talk.customer(task.intent, pieces, [["request", POLICIES[task.intent]]])
    talk.agent(*_policy_reply(talk, task.intent), more=True)
    talk.last_fact, talk.answered = None, True


def _policy_reply(talk: Talk, intent: str) -> tuple[list[Piece], list[list[str | None]]]:
    """What the shop promises, annotated."""
    slot, policies = POLICIES[intent], talk.catalogue.policies
    value = Piece(policies[slot], slot, policies[slot])
    days = Piece(policies["support_days"], "support_days", policies["support_days"])
    acts: list[list[str | None]] = [["inform", slot]]
    if slot == "support_hours":
        acts.append(["inform", "support_days"])
    return talk.reply(intent, fields={"value": value, "days": days}), acts


def _play_other(talk: Talk, task: Task) -> None:
    play = {
        "complaint": _play_complaint,
        "human_agent": _play_human,
        "out_of_scope": _play_out_of_scope,
        "small_talk": _play_small_talk,
        **dict.fromkeys(BEYOND_CHAT, _play_beyond_chat),
    }
    play[task.intent](talk, task)
    talk.last_fact = None


def _play_complaint(talk: Talk, task: Task) -> None:
    name = task.get("product")
    values = {"product": name} if name else {}
    if name:
        talk.focus = talk.catalogue.by_name(name)
    pieces = talk.words("complaint", ("main",), values, needs=values, **values)
    talk.customer("complaint", opened(talk, pieces), [["complain", None]])
    talk.agent(talk.reply("complaint"), [["apologise", None], ["handover", None]])
    talk.answered = False


def _play_human(talk: Talk, task: Task) -> None:
    pieces = opened(talk, talk.words("human_agent"))
    talk.customer("human_agent", pieces, [["request", "human_agent"]])
    talk.agent(talk.reply("human_agent"), [["handover", None]])
    talk.answered = False


def _play_beyond_chat(talk: Talk, task: Task) -> None:
    """Shop business that only a colleague can settle."""
    pieces = opened(talk, [Piece(task.get("topic") or "")])
    talk.customer(task.intent, pieces, [["request", task.intent]])
    talk.agent(talk.reply("other_request"), [["handover", None]])
    talk.answered = False


def _play_out_of_scope(talk: Talk, task: Task) -> None:
    pieces = opened(talk, [Piece(task.get("topic") or "")])
    talk.customer("out_of_scope", pieces, [["request", "out_of_scope"]])
    talk.agent(talk.reply("out_of_scope"), [["decline", "out_of_scope"]])
    talk.answered = False


def _play_small_talk(talk: Talk, task: Task) -> None:
    section = [task.get("topic") or ""]
    talk.customer("small_talk", talk.words("small_talk", section), [["chat", None]])
    talk.agent(talk.reply("small_talk", section), [["chat", None]])
    talk.answered = False


# -- families ----------------------------------------------------------------------------------


@dataclass
class Planner:
    """Draws families; every (product, fact) pair comes up equally often."""

    catalogue: Catalogue
    language: Language
    products: Sequence[Product]
    rng: random.Random
    orders: Iterator[str]
    addresses: set[str] = field(default_factory=set)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def rarest(self, pairs: Iterable[tuple[Product, str]]) -> tuple[Product, str]:
        """The pair of product and fact that was asked for least often so far."""
        pairs = list(pairs)
        fewest = min(self.asked[product.name, slot] for product, slot in pairs)
        rare = [(p, slot) for p, slot in pairs if self.asked[p.name, slot] == fewest]
        return self.rng.choice(rare)

    def question(self, pairs: Iterable[tuple[Product, str]]) -> tuple[Product, str, Task]:
        """The rarest of these pairs as a task, counted."""
        product, slot = self.rarest(pairs)
        self.asked[product.name, slot] += 1
        return product, slot, Task(f"ask_{slot}", (("product", product.full_name),))

    def note(self, tasks: Iterable[Task], times: int) -> None:
        """Counts the questions among `tasks` as asked so many times more."""
        for task in tasks:
            slot, product = FACT_INTENTS.get(task.intent), task.get("product")
            if slot and product:
                self.asked[self.catalogue.by_name(product).name, slot] += times

    def facts(self, number: int) -> list[Task]:
        """Questions on one product."""
        product, _, task = self.question(self._pairs())
        tasks = [task]
        while len(tasks) < number:
            taken = {FACT_INTENTS[task.intent] for task in tasks}
            rest = [(product, slot) for slot in product.facts if slot not in taken]
            tasks.append(self.question(rest)[2])
        return shuffled(tasks, self.rng)

    def comparison(self) -> list[Task]:
        """The same fact of two products, of one kind where there are two."""
        first, slot, task = self.question(self._pairs())
        rest = [(p, slot) for p in self.products if p != first and slot in p.facts]
        akin = [(p, slot) for p, slot in rest if p.kind == first.kind]
        return shuffled([task, self.question(akin or rest)[2]], self.rng)

    def _pairs(self) -> list[tuple[Product, str]]:
        return [(product, slot) for product in self.products for slot in product.facts]

    def operation(self, intent: str | None = None, order: str | None = None) -> Task:
        """Something to be done with an order."""
        intent = intent or self.rng.choice(list(OPERATIONS))
        values = {"order_number": order or self.order()}
        if "product" in OPERATIONS[intent]:
            values["product"] = self.rng.choice(self.products).full_name
        if "address" in OPERATIONS[intent]:
            values["address"] = self.address()
        if intent in CONFIRMED and self.rng.random() < 0.13:
            values["decision"] = "no"
        return Task(intent, tuple(sorted(values.items())))

    def order(self) -> str:
        """A fresh order number."""
        return next(self.orders)

    def address(self) -> str:
        """An invented address, none twice."""
        while True:
            house = self.rng.randint(1, 98)
            address = f"{house} {self.rng.choice(STREETS)}, {self.rng.choice(TOWNS)}"
            if address not in self.addresses:
                self.addresses.add(address)
                return address

    def policy(self) -> Task:
        """A question on what the shop promises."""
        return Task(self.rng.choice(list(POLICIES)))

    def two_policies(self) -> list[Task]:
        """Questions on two different promises."""
        return [Task(intent) for intent in self.rng.sample(list(POLICIES), 2)]

    def handover(self) -> Task:
        """A complaint, the wish for a person, or what a chat cannot settle."""
        lot = self.rng.random()
        if lot < 0.45:
            return self.literal("other_request")
        if lot < 0.65:
            return Task("human_agent")
        if self.rng.random() < 0.6:
            return Task("complaint", (("product", self.rng.choice(self.products).full_name),))
        return Task("complaint")

    def chat(self, first: bool = True) -> Task:
        """Small talk, or something outside the shop's business; praise does not come first."""
        if self.rng.random() < 0.45:
            topics = [
                topic
                for topic in self.language.sections("customer", "small_talk")
                if (topic != "compliment" if first else topic in _LATE_TOPICS)
            ]
            return Task("small_talk", (("topic", self.rng.choice(topics)),))
        return self.literal("out_of_scope")

    def literal(self, intent: str) -> Task:
        """A task said in exactly one wording, which is its topic."""
        wordings = self.language.wordings["customer"][intent]
        return Task(intent, (("topic", self.rng.choice(wordings).text),))

    def questions(self) -> list[Task]:
        """Product questions only: one to three facts of one product, or one fact of two."""
        if self.rng.random() < 0.18:
            return self.comparison()
        return self.facts(self.rng.choices((1, 2, 3), (3, 4, 3))[0])

    def two_operations(self) -> list[Task]:
        """First the status of an order, then something done with the same order."""
        order = self.order()
        second = self.rng.choice(("cancel_order", "change_address"))
        return [self.operation("order_status", order), self.operation(second, order)]

    def bought(self) -> list[Task]:
        """A question on a product, then its return or a claim."""
        facts = self.facts(1)
        task = self.operation(self.rng.choice(("return_item", "warranty_claim")))
        same = dict(task.slots) | {"product": facts[0].get("product") or ""}
        return [*facts, Task(task.intent, tuple(sorted(same.items())))]

    def unseen_intent(self) -> list[Task]:
        """A wish that no training dialogue holds, alone or beside a known one."""
        task = self.literal(self.rng.choice(HELD_OUT_INTENTS))
        beside = (list, lambda: self.facts(1), lambda: [self.policy()], lambda: [self.operation()])
        return shuffled([task, *self.rng.choices(beside, (4, 3, 2, 1))[0]()], self.rng)

    def beyond_scope(self) -> list[Task]:
        """One or two things that are not the shop's business, alone or beside a known wish."""
        tasks = [self.literal("out_of_scope") for _ in range(self.rng.choices((1, 2), (4, 1))[0])]
        beside = (list, lambda: self.facts(1), lambda: [self.policy()], lambda: [self.operation()])
        return shuffled([*tasks, *self.rng.choices(beside, (4, 3, 2, 1))[0]()], self.rng)

    def tasks(self) -> list[Task]:
        """The tasks of one family, of a mix in which about 70% ask for a product's fact."""
        shapes = {
            self.questions: 56,
            lambda: [self.operation(), *self.facts(1)]: 8,
            self.bought: 5,
            lambda: shuffled([*self.facts(1), self.policy()], self.rng): 10,
            lambda: [self.chat(), *self.facts(1)]: 4,
            lambda: [*self.facts(1), self.chat(first=False)]: 2,
            lambda: [*self.facts(1), self.handover()]: 4,
            lambda: [self.operation()]: 15,
            self.two_operations: 3,
            lambda: [self.operation(), self.policy()]: 5,
            lambda: [self.operation("order_status"), self.handover()]: 2,
            lambda: [self.policy()]: 3,
            self.two_policies: 4,
            lambda: shuffled([self.policy(), self.chat()], self.rng): 2,
            lambda: [self.chat()]: 1,
            lambda: [self.handover()]: 3,
            lambda: [self.policy(), self.handover()]: 2,
        }
        return self.rng.choices(list(shapes), list(shapes.values()))[0]()


def shuffled(tasks: list[Task], rng: random.Random) -> list[Task]:
    """The same list, its tasks in another order."""
    rng.shuffle(tasks)
    return tasks


def order_numbers(rng: random.Random) -> Iterator[str]:
    """Ten-digit order numbers, none twice."""
    seen: set[str] = set()
    while True:
        number = str(rng.randint(1_000_000_000, 9_999_999_999))
        if number not in seen:
            seen.add(number)
            yield number
