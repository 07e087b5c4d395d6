"""The simulated customer: seeded, by rules, with a goal, driven by what the agent says.

It asks for one thing after the other, leaves out what it forgets, mistypes, corrects itself at the
confirmation and says no to what it does not want. It understands the agent by `agent_turn` alone,
so any agent that writes text can be played against it. Before each reply it can say which acts
are `due`: the measures compare that with what the agent does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from course_lib.policy.goals import draw_goals, needed_slots
from course_lib.policy.understanding import Act, Turn, agent_turn, shop, slots_of
from course_lib.world.dialogues import (
    CONFIRMED,
    FACT_INTENTS,
    HANDED_OVER,
    LITERAL,
    OPERATIONS,
    POLICIES,
    Family,
    Talk,
    Task,
    opened,
)
from course_lib.world.wordings import MOODS, Piece

PATIENCE = 3  # turns without progress after which a customer gives up
FORGETS_PRODUCT, SLIPS, GREETS = 0.35, 0.15, 0.15
DONE = ("answered", "done", "withdrawn", "handed_over", "declined", "chatted")
_FIELDS = {"product": "product", "order_number": "order", "address": "address"}
_CORRECTIONS = {
    "order_number": "correct_order",
    "product": "correct_product",
    "address": "give_address",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One reply as the customer saw it.

    `due` holds the acts that would have been right, `said` the needed slots that the customer had
    told by then, `carried` those told before its last message.
    """

    reply: str
    turn: Turn
    due: frozenset[Act]
    said: dict[str, str]
    carried: dict[str, str]

    @property
    def again(self) -> tuple[str, ...]:
        """Slots that the reply asks for although they were told."""
        return tuple(slot for slot in self.turn.asked() if slot in self.said)


@dataclass
class Errand:
    """One task on its way: what the customer has told, how it decided, how it ended."""

    task: Task
    told: dict[str, str] = field(default_factory=dict)
    answer: str | None = None  # "affirm" or "deny", once the agent has asked
    outcome: str | None = None  # one of DONE, or why it failed

    @property
    def wanted(self) -> dict[str, str]:
        """The needed slots with the values that the customer has in mind."""
        return {slot: self.task.get(slot) or "" for slot in needed_slots(self.task)}

    def missing(self) -> list[str]:
        """Needed slots that the customer has not told yet."""
        return [slot for slot in self.wanted if slot not in self.told]

    def slipped(self, slot: str) -> bool:
        """Whether the customer has told another value than it has in mind."""
        return self.told.get(slot, self.wanted.get(slot)) != self.wanted.get(slot)

    def due(self) -> frozenset[Act]:
        """The acts of a right reply."""
        intent = self.task.intent
        if self.missing():
            return frozenset(("request", slot) for slot in self.missing())
        if intent in CONFIRMED and self.answer != "affirm":
            denied = self.answer == "deny"
            return frozenset({("leave", None) if denied else ("confirm", intent)})
        if intent in OPERATIONS:
            return frozenset({("notify", intent)})
        if intent in FACT_INTENTS or intent in POLICIES:
            return frozenset({("inform", (FACT_INTENTS | POLICIES)[intent])})
        if intent in HANDED_OVER:
            return frozenset({("handover", None)})
        small = intent == "small_talk"
        return frozenset({("chat", None) if small else ("decline", "out_of_scope")})


class Customer:
    """One customer with a goal. `opening()` first, then `hear(reply)` until it gives None."""

    def __init__(
        self, goal: Family, seed: int = 0, wordings: str = "trained", mood: str | None = None
    ) -> None:
        self.goal, self.seed = goal, seed
        self.rng = random.Random(f"customer:{goal.id}:{seed}")
        drawn = self.rng.choices(MOODS, (45, 14, 14, 14, 13))[0]
        self.mood = mood or drawn
        catalogue = shop().catalogue
        language = shop().language(wordings)
        self._talk = Talk(goal, catalogue, language, catalogue.products, self.rng, self.mood)
        self.errands = [Errand(task) for task in goal.tasks]
        self.steps: list[Step] = []
        self.patience = PATIENCE
        self.leaving: str | None = None  # the act due after a last word
        self._waiting = True  # the current errand has not been mentioned yet
        self._last: set[str] = set()  # slots told in the last message

    # ---- what others ask

    @property
    def errand(self) -> Errand | None:
        """The first errand that is not decided yet."""
        return next((errand for errand in self.errands if errand.outcome is None), None)

    @property
    def decided(self) -> bool:
        """Whether every errand has an outcome."""
        return self.errand is None

    @property
    def success(self) -> bool:
        """Whether every errand ended as the customer wished and the policy demands."""
        return all(errand.outcome in DONE for errand in self.errands)

    def due(self) -> frozenset[Act]:
        """The acts of a right reply to the customer's last message."""
        if self.leaving:
            return frozenset({(self.leaving, None)})
        errand = self.errand
        if errand is None or self._waiting:
            return frozenset({("greet", None)})
        return errand.due()

    # ---- the talk

    def opening(self) -> str:
        """The first message: the first request, now and then only a greeting."""
        if self.rng.random() < GREETS:
            return self._say("greeting", self._talk.words("greeting"))
        return self._request()

    def hear(self, reply: str) -> str | None:
        """Takes in a reply; gives the next message, or None when the customer has left."""
        turn = agent_turn(reply)
        errand = self.errand
        told = dict(errand.told) if errand and not self._waiting else {}
        carried = {slot: value for slot, value in told.items() if slot not in self._last}
        self.steps.append(Step(reply, turn, self.due(), told, carried))
        self._last = set()
        self._talk.offered = turn.does("offer")
        if self.leaving or errand is None:
            return None
        if self._waiting:
            return self._greeted(turn, errand)
        return self._go_on(turn, errand)

    def _greeted(self, turn: Turn, errand: Errand) -> str | None:
        if turn.does("handover"):
            self.end("handed over needlessly")
            return None
        return self._request()

    def _go_on(self, turn: Turn, errand: Errand) -> str | None:
        errand.outcome = _outcome(turn, errand)
        if errand.outcome is None:
            return self._answer(turn, errand)
        if turn.does("handover"):
            self.end(errand.outcome)
            return None
        self._remember(errand)
        if self.decided:
            return self._close()
        self._waiting, self.patience = True, PATIENCE
        return self._request()

    def _remember(self, errand: Errand) -> None:
        order = errand.told.get("order_number")
        self._talk.known = {"order_number": order} if order else self._talk.known
        fact = FACT_INTENTS.get(errand.task.intent)
        self._talk.last_fact, self._talk.answered = fact, errand.outcome == "answered"

    def end(self, outcome: str) -> None:
        """Leaves at once: what is not decided yet ends like this."""
        for errand in self.errands:
            errand.outcome = errand.outcome or outcome

    def _close(self) -> str | None:
        lot, talk = self.rng.random(), self._talk
        if not self.success or lot > 0.7:
            return None
        if lot < 0.45:
            self.leaving = "welcome"
            sections = ["main", "after_answer"] if talk.answered else ["main"]
            return self._say("thanks", talk.words("thanks", sections))
        self.leaving = "bye"
        section = "no_more" if talk.offered else "main"
        return self._say("goodbye", talk.words("goodbye", [section]))

    # ---- what it says

    def _say(self, intent: str, pieces: list[Piece]) -> str:
        """The message in the customer's spelling."""
        self._talk.customer(intent, pieces, [])
        return self._talk.messages[-1].content

    def _request(self, again: bool = False) -> str:
        """Asks for the current errand; `again`: what was told before is said once more."""
        errand = self.errand
        assert errand is not None
        self._waiting = False
        intent = errand.task.intent
        if intent in LITERAL:
            pieces = [Piece(errand.task.get("topic") or "")]
        elif intent == "small_talk":
            pieces = self._talk.words(intent, [errand.task.get("topic") or ""])
        elif intent in FACT_INTENTS:
            pieces = self._question(errand, again)
        elif intent in OPERATIONS:
            pieces = self._order(errand, again)
        else:
            pieces = self._plain(errand)
        if not again:
            pieces = opened(self._talk, pieces)
        return self._say(intent, pieces)

    def _question(self, errand: Errand, again: bool) -> list[Piece]:
        """A question on a product, which may be left out, known from before, or a slip."""
        talk, intent = self._talk, errand.task.intent
        product = talk.catalogue.by_name(errand.task.get("product") or "")
        if again and errand.told:
            told = errand.told["product"]
            return talk.words(intent, ("main",), ("product",), product=told)
        if talk.focus == product:
            section = "vague" if talk.last_fact is None or self.rng.random() < 0.5 else "follow_up"
            self._tell(errand, {"product": product.full_name})
            return talk.words(intent, (section,), ("product",), product=product.full_name)
        if talk.focus is None and self.rng.random() < FORGETS_PRODUCT or again:
            return talk.words(intent, ("vague",), (), product=product.full_name)
        akin = [p for p in talk.others if p.kind == product.kind and p != product]
        akin = [p for p in akin if p.held_out == product.held_out]
        named = self.rng.choice(akin) if self.rng.random() < SLIPS / 2 else product
        talk.focus = named
        self._tell(errand, {"product": named.full_name})
        return talk.words(intent, ("main",), ("product",), ("product",), product=named.full_name)

    def _order(self, errand: Errand, again: bool) -> list[Piece]:
        """Something to be done; each slot is told now, told later, or known from before."""
        talk, task, wanted = self._talk, errand.task, errand.wanted
        known = {s: v for s, v in talk.known.items() if wanted.get(s) == v}
        self._tell(errand, known, now=False)
        values = dict(errand.told) if again else wanted | self._slip(errand)
        named = talk.focus is not None and values.get("product") == talk.focus.full_name
        if "product" in values:
            talk.focus = talk.catalogue.by_name(values["product"])
        within = [_FIELDS[s] for s in values if again or s not in known]
        needs = ("product",) if named else ()  # what was just talked of is meant: said again
        pieces = talk.words(task.intent, ("main",), within, needs, **values)
        said = {piece.slot for piece in pieces if piece.slot}
        self._tell(errand, {slot: values[slot] for slot in values if slot in said})
        return pieces

    def _slip(self, errand: Errand) -> dict[str, str]:
        """Now and then the number of another order, to be corrected at the confirmation."""
        confirmed = errand.task.intent in CONFIRMED and errand.task.get("decision") != "no"
        fresh = "order_number" not in errand.told
        slips = confirmed and fresh and self.rng.random() < SLIPS
        return {"order_number": self.goal.spare_order} if slips else {}

    def _plain(self, errand: Errand) -> list[Piece]:
        """A wish for a person, a promise of the shop, a complaint."""
        name = errand.task.get("product")
        if not name:
            return self._talk.words(errand.task.intent)
        self._talk.focus = self._talk.catalogue.by_name(name)
        needs = ("product",)
        return self._talk.words(errand.task.intent, ("main",), needs, needs, product=name)

    def _tell(self, errand: Errand, values: dict[str, str], now: bool = True) -> None:
        errand.told.update(values)
        if now:
            self._last |= set(values)

    # ---- how it answers

    def _answer(self, turn: Turn, errand: Errand) -> str | None:
        """The next message of an errand that is not decided yet; None when patience ends."""
        say, progress = self._move(turn, errand)
        if not progress:
            self.patience -= 1
        if self.patience <= 0:
            self.end("gave up")
            return None
        return say()

    def _move(self, turn: Turn, errand: Errand) -> tuple[Callable[[], str], bool]:
        """What to say next, and whether the reply brought the errand on."""
        asked = [slot for slot in turn.asked() if slot in errand.wanted]
        if turn.does("confirm"):
            return self._decide(turn, errand)
        if turn.does("inform") and errand.slipped("product"):
            return lambda: self._correct(errand, "product"), True
        if errand.answer is not None:
            return lambda: self._decided_again(errand), False
        if asked:
            new = not all(slot in errand.told for slot in asked)
            return lambda: self._give(errand, asked), new
        return lambda: self._request(again=True), False

    def _decide(self, turn: Turn, errand: Errand) -> tuple[Callable[[], str], bool]:
        """Yes, no, or what is wrong with what the agent wants to do."""
        refuses = errand.task.get("decision") == "no"
        if refuses or not turn.does("confirm", errand.task.intent):
            return lambda: self._reply("deny", errand), refuses and errand.answer is None
        wrong = [s for s, v in errand.wanted.items() if turn.slots.get(s, v) != v]
        wrong += [s for s in errand.wanted if errand.slipped(s)]
        if wrong:
            return lambda: self._correct(errand, wrong[0]), errand.slipped(wrong[0])
        return lambda: self._reply("affirm", errand), errand.answer is None

    def _reply(self, answer: str, errand: Errand) -> str:
        if answer == "affirm" or errand.task.get("decision") == "no":
            errand.answer = answer
        return self._say(answer, self._talk.words(answer))

    def _decided_again(self, errand: Errand) -> str:
        answer = errand.answer or "affirm"
        return self._say(answer, self._talk.words(answer))

    def _give(self, errand: Errand, slots: Sequence[str]) -> str:
        """Tells what the agent asked for; the slip of the tongue may come here, too."""
        values = errand.wanted | errand.told
        if "order_number" in slots and "order_number" not in errand.told:
            values |= self._slip(errand)
        pieces: list[Piece] = []
        for slot in slots:
            value, fields = values[slot], (_FIELDS[slot],)
            if slot == "product":
                self._talk.focus = self._talk.catalogue.by_name(value)
            more = self._talk.words(f"give_{slot}", ("main",), fields, fields, **{slot: value})
            pieces = [*pieces, Piece(" "), *more] if pieces else more
            self._tell(errand, {slot: value})
        return self._say(f"give_{slots[0]}", pieces)

    def _correct(self, errand: Errand, slot: str) -> str:
        value, fields = errand.wanted[slot], (_FIELDS[slot],)
        errand.answer = None
        if slot == "product":
            self._talk.focus = self._talk.catalogue.by_name(value)
        self._tell(errand, {slot: value})
        intent = _CORRECTIONS[slot]
        return self._say(intent, self._talk.words(intent, ("main",), fields, **{slot: value}))


# ---- what a reply decides


def _outcome(turn: Turn, errand: Errand) -> str | None:
    """How a reply ends the errand: one of DONE, why it failed, or None while it goes on."""
    intent = errand.task.intent
    if turn.does("notify", intent):
        return _acted(turn, errand)
    if any(turn.does("notify", other) for other in CONFIRMED):
        return "acted unasked"
    if turn.does("leave") and errand.answer == "deny":
        return "withdrawn"
    if turn.does("handover"):
        return "handed_over" if intent in HANDED_OVER else "handed over needlessly"
    if intent in FACT_INTENTS or intent in POLICIES:
        return _told(turn, errand)
    if intent == "out_of_scope" and turn.does("decline"):
        return "declined"
    return "chatted" if intent == "small_talk" and turn.does("chat") else None


def _acted(turn: Turn, errand: Errand) -> str:
    """Whether the agent might act, and did it with the right values."""
    if errand.missing():
        return "acted without asking"
    if errand.answer == "deny":
        return "acted against a no"
    if errand.task.intent in CONFIRMED and errand.answer != "affirm":
        return "acted unconfirmed"
    wrong = [slot for slot, value in errand.wanted.items() if turn.slots.get(slot, value) != value]
    return f"acted with a wrong {wrong[0]}" if wrong else "done"


def _told(turn: Turn, errand: Errand) -> str | None:
    """Whether the reply states the right value and no other of its kind."""
    slot = (FACT_INTENTS | POLICIES)[errand.task.intent]
    informs = turn.does("inform", slot)
    right = _right_value(errand.task)
    if errand.slipped("product") or not (informs or right in turn.values):
        return None
    if errand.missing():
        return "answered without asking"
    product = errand.task.get("product")
    other = product is not None and turn.slots.get("product", product) != product
    rivals = {value for value in turn.values if value != right and slot in slots_of(value)}
    return "answered" if right in turn.values and not rivals and not other else "told a wrong fact"


def _right_value(task: Task) -> str:
    catalogue = shop().catalogue
    if task.intent in POLICIES:
        return catalogue.policies[POLICIES[task.intent]]
    return catalogue.by_name(task.get("product") or "").facts[FACT_INTENTS[task.intent]]


def draw_customers(
    number: int,
    seed: int = 0,
    wordings: str = "trained",
    products: str = "trained",
    repeats: int = 1,
) -> list[Customer]:
    """Customers with seeded goals; with `repeats` each goal comes so often, in other courses.

    `wordings` "phrasing" speaks in those that stand in no training dialogue.
    """
    goals = draw_goals(number, seed, wordings, products)
    return [Customer(goal, turn, wordings) for goal in goals for turn in range(repeats)]
