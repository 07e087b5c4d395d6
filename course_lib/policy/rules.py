"""The rule engine: what to ask, what to confirm and when to hand over, in one table.

`RULES` is the whole policy. Around it stand a memory, read from the talk so far, and a loop of a
few lines that finds the first rule that still lacks something. It speaks in the agent's wordings.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from course_lib.policy.episodes import History
from course_lib.policy.understanding import (
    Act,
    Turn,
    agent_turn,
    customer_turn,
    prepare,
    shop,
    yes_or_no,
)
from course_lib.world.dialogues import FACT_INTENTS, POLICIES
from course_lib.world.wordings import Piece, assemble, fill_pieces


@dataclass(frozen=True, slots=True)
class Rule:
    """What must be known (`ask`) and agreed to (`confirm`) before the wish is served (`then`)."""

    ask: tuple[str, ...] = ()
    confirm: bool = False
    then: str = "inform"


RULES = {
    # wish                 what must be known          confirmed first  and then
    "a product's fact": Rule(("product",), then="inform"),
    "a promise": Rule(then="inform"),
    "order_status": Rule(("order_number",), then="notify"),
    "cancel_order": Rule(("order_number",), confirm=True, then="notify"),
    "return_item": Rule(("product", "order_number"), confirm=True, then="notify"),
    "change_address": Rule(("order_number", "address"), confirm=True, then="notify"),
    "warranty_claim": Rule(("product", "order_number"), then="notify"),
    "missing_parcel": Rule(("order_number",), then="notify"),
    "reset_password": Rule(then="notify"),
    "newsletter": Rule(then="notify"),
    "complaint": Rule(then="handover"),
    "human_agent": Rule(then="handover"),
    "other_request": Rule(then="handover"),
    "not understood": Rule(then="clarify"),
    "not understood again": Rule(then="handover"),
    "out_of_scope": Rule(then="decline"),
    "small_talk": Rule(then="chat"),
    "greeting": Rule(then="greet"),
    "thanks": Rule(then="welcome"),
    "goodbye": Rule(then="bye"),
}


_PUZZLED = "not understood"
_COURTESIES = ("greeting", "thanks", "goodbye", "small_talk")


def rule_of(intent: str) -> Rule:
    """The rule for an intent; facts and promises have one rule each."""
    if intent in FACT_INTENTS:
        return RULES["a product's fact"]
    return RULES["a promise" if intent in POLICIES else intent]


# ---- the memory


@dataclass
class State:
    """What the talk so far has brought: open wishes, slots, and what the last turns were."""

    wishes: list[str] = field(default_factory=list)
    slots: dict[str, str] = field(default_factory=dict)
    asked: Act | None = None  # what the agent wanted to know in its last turn
    answer: str | None = None  # "affirm" or "deny" to the agent's last question
    last: str | None = None  # the wish that was served last
    corrected: bool = False  # the customer meant another product
    topic: str | None = None  # of small talk


def read_state(history: History) -> State:
    """The state after a talk, from its text alone."""
    state = State()
    for message in history:
        if message["role"] == "assistant":
            _note_reply(state, agent_turn(message["content"]))
        elif message["role"] == "user":
            _note_message(state, customer_turn(message["content"]))
    return state


def _note_reply(state: State, turn: Turn) -> None:
    """The agent's own words: wishes that it has served are closed, its question is kept."""
    state.asked = next(((a, s) for a, s in turn.acts if a in ("request", "confirm")), None)
    if state.asked is None and state.wishes:
        state.last, state.wishes = state.wishes[-1], []
        if state.last not in FACT_INTENTS:  # an address or a product is for one wish
            state.slots.pop("address", None)
    state.answer, state.corrected = None, False


def _note_message(state: State, turn: Turn) -> None:
    state.slots |= turn.slots
    state.topic = turn.topic
    if state.asked and state.asked[0] == "confirm":
        if turn.slots:
            return  # a correction: confirm again
        if not _wishes(turn):
            state.answer = yes_or_no(turn.text)
            return
    if state.asked and state.asked[1] in turn.slots:
        return  # the answer to what was asked
    new = _wishes(turn)
    if not new and turn.slots.get("product") and state.last in FACT_INTENTS:
        new, state.corrected = [state.last], "correct_product" in turn.intents
    if new:
        state.wishes = new
    elif not state.wishes:
        state.wishes = [_PUZZLED if state.last != _PUZZLED else f"{_PUZZLED} again"]


def _wishes(turn: Turn) -> list[str]:
    """The intents that a rule serves; a greeting beside a request needs no answer of its own."""
    served = RULES.keys() | FACT_INTENTS.keys() | POLICIES.keys()
    wishes = [intent for intent in turn.intents if intent in served]
    return [wish for wish in wishes if wish not in _COURTESIES] or wishes[-1:]


# ---- the loop


def next_acts(state: State) -> list[tuple[str, str]]:
    """What to do now, as (act, slot or intent): the policy."""
    acts: list[tuple[str, str]] = []
    for wish in state.wishes:
        rule = rule_of(wish)
        missing = [slot for slot in rule.ask if slot not in state.slots]
        if missing:
            return [*acts, ("request", missing[0])]
        if rule.confirm and state.answer is None:
            return [*acts, ("confirm", wish)]
        acts.append(("leave" if rule.confirm and state.answer == "deny" else rule.then, wish))
    return acts


# ---- the words

_FILES = {
    "request": "ask_{}",
    "handover": "other_request",
    "leave": "not_done",
    "decline": "out_of_scope",
    "chat": "small_talk",
    "clarify": "greeting",
    "greet": "greeting",
    "welcome": "thanks",
    "bye": "goodbye",
}
_OWN_WORDS = ("complaint", "human_agent")  # handed over with a word of their own


@dataclass(frozen=True, slots=True)
class Speaker:
    """Puts acts into the agent's wordings, filled from the memory."""

    rng: random.Random
    state: State

    def say(self, acts: Sequence[tuple[str, str]]) -> str:
        """One wording for each act, joined."""
        words = [self._words(act, what) for act, what in acts]
        if self.state.corrected and acts and acts[0][0] == "inform":
            words = [self._filled("acknowledge_correction", "main", {}), *words]
        return " ".join(words)

    def _words(self, act: str, what: str) -> str:
        if act == "inform":
            return self._informed(what)
        if act == "chat":
            return self._filled("small_talk", self.state.topic or "how_are_you", {})
        if act == "handover" and what in _OWN_WORDS:
            return self._filled(what, "main", {})
        own = f"{'done' if act == 'notify' else act}_{what}"
        file = own if own in shop().trained.wordings["agent"] else _FILES.get(act, what)
        return self._filled(file.format(what), "main", {})

    def _informed(self, intent: str) -> str:
        """The fact or promise; a fact that the product does not have is for a colleague."""
        catalogue = shop().catalogue
        if intent in POLICIES:
            days = catalogue.policies["support_days"]
            value = catalogue.policies[POLICIES[intent]]
            return self._filled(intent, "main", {"value": value, "days": days})
        facts = catalogue.by_name(self.state.slots["product"]).facts
        if FACT_INTENTS[intent] not in facts:
            return self._filled("other_request", "main", {})
        return self._filled(intent, "main", {"value": facts[FACT_INTENTS[intent]]})

    def _filled(self, file: str, section: str, values: dict[str, str]) -> str:
        slots, catalogue = self.state.slots, shop().catalogue
        wording = shop().trained.choose(self.rng, "agent", file, (section,))
        product = catalogue.by_name(slots["product"]) if "product" in slots else None
        fields = values | {"shop": catalogue.policies["shop_name"]}
        fields |= {"product": slots.get("product", ""), "order": slots.get("order_number", "")}
        fields |= {"address": slots.get("address", "")}
        pieces = {name: Piece(text) for name, text in fields.items()}
        plural = product is not None and product.is_plural
        return assemble(fill_pieces(wording.text, pieces, plural))[0]


@dataclass(frozen=True, slots=True)
class RuleAgent:
    """The rule engine as an agent; the same history gets the same words."""

    seed: int = 0

    def reply(self, histories: Sequence[History]) -> list[str]:
        prepare(messages=[history[-1]["content"] for history in histories])
        return [self._reply(history) for history in histories]

    def _reply(self, history: History) -> str:
        state = read_state(history)
        talk = "".join(message["content"] for message in history)
        return Speaker(random.Random(f"{self.seed}:{talk}"), state).say(next_acts(state))
