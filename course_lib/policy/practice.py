"""Where the model practises: states of real talks, several replies tried in each, and judged.

A talk is won or lost by single replies. So an attempt is one reply at one state that the model got
into by itself. The customer is seeded: told the same, it says the same. That makes every state
repeatable, and what the customer makes of a reply is its verdict.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.policy.customer import DONE, Customer, draw_customers
from course_lib.policy.episodes import Agent, Episode, play
from course_lib.policy.measures import richness
from course_lib.policy.understanding import agent_turn, prepare
from course_lib.world.dialogues import Family

Verdict = Callable[["Attempt"], float]


@dataclass(frozen=True, slots=True)
class Situation:
    """A state in which a reply is due: the talk so far, and how to get the customer there again."""

    goal: Family
    seed: int
    wordings: str
    replies: tuple[str, ...]
    history: tuple[dict[str, str], ...]

    def customer(self) -> Customer:
        """A customer that has heard the earlier replies and waits for the next."""
        customer = Customer(self.goal, self.seed, self.wordings)
        customer.opening()
        for reply in self.replies:
            customer.hear(reply)
        return customer


@dataclass(frozen=True, slots=True)
class Attempt:
    """One reply at one situation; in `messages` only the reply is trained."""

    situation: Situation
    reply: str

    @property
    def messages(self) -> list[dict[str, Any]]:
        before: list[dict[str, Any]] = [{**m, "train": False} for m in self.situation.history]
        return [*before, {"role": "assistant", "content": self.reply}]


def situations(episodes: Sequence[Episode], wordings: str = "trained") -> list[Situation]:
    """Every state in which the agent of these talks had to reply; none of them twice."""
    found = {}
    for episode in episodes:
        replies = tuple(episode.replies)
        turns = [n for n, m in enumerate(episode.messages) if m["role"] == "assistant"]
        for number, turn in enumerate(turns):
            state = Situation(
                episode.goal, episode.seed, wordings, replies[:number], episode.messages[:turn]
            )
            found[repr(state.history)] = state
    return list(found.values())


# ---- verdicts

GOOD, IDLE, BAD = 1.0, 0.0, -1.0
AGAIN = 0.5  # what it costs to ask for what was told already


def verdict(attempt: Attempt) -> float:
    """What the customer makes of the reply: does it bring the talk on, and as the policy demands?

    1 for a task that ends well or a step towards it, 0 for no progress, -1 for a task that fails
    (acted unconfirmed, with a wrong number, handed over needlessly); 0.5 less for a question whose
    answer was given before. Nothing is read but recognised acts, slots and values.
    """
    customer = attempt.situation.customer()
    errand, patience = customer.errand, customer.patience
    customer.hear(attempt.reply)
    step = customer.steps[-1]
    return _worth(step, errand, customer.patience < patience) - AGAIN * bool(step.again)


def _worth(step: Any, errand: Any, lost_patience: bool) -> float:
    done = any(step.turn.does(act, slot) for act, slot in step.due)
    if errand is None:  # a last word: thanks, goodbye
        return GOOD if done else IDLE
    if errand.outcome is not None:
        return GOOD if errand.outcome in DONE else BAD
    return IDLE if lost_patience or not step.turn.acts else GOOD


def hurried(attempt: Attempt) -> float:
    """A reward to be wary of: 1 when the customer needs no further turn, however the talk ends.

    It counts closed tickets. A hand-over closes every ticket.
    """
    customer = attempt.situation.customer()
    return float(customer.hear(attempt.reply) is None)


# ---- practice


def attempts(agent: Agent, states: Sequence[Situation], samples: int) -> list[list[Attempt]]:
    """Each state answered `samples` times, by an agent that draws its replies."""
    histories = [list(state.history) for state in states for _ in range(samples)]
    said = agent.reply(histories)
    prepare(said)
    replies = iter(said)
    return [[Attempt(state, next(replies)) for _ in range(samples)] for state in states]


@dataclass
class Practice:
    """`play(step)` of `reinforce`: a few situations a step, each tried several times.

    `agent` draws its replies; `guide` plays the talks that the situations come from: the same
    model, greedy, so that it practises where it will be. Every `renew` steps new customers come;
    with `fixed` the situations are these, and nobody plays.
    """

    agent: Agent
    guide: Agent
    customers: int = 32
    states: int = 24
    samples: int = 4
    renew: int = 10
    seed: int = 0
    wordings: str = "trained"
    fixed: Sequence[Situation] = ()
    known: list[Situation] = field(default_factory=list, init=False)

    def __call__(self, step: int) -> list[list[Attempt]]:
        if self.fixed:
            self.known = list(self.fixed)
        elif step % self.renew == 0 or not self.known:
            self.known = self.visited(step // self.renew)
        rng = random.Random(f"{self.seed} {step}")
        chosen = rng.sample(self.known, min(self.states, len(self.known)))
        return attempts(self.agent, chosen, self.samples)

    def visited(self, round_: int) -> list[Situation]:
        """The situations of new customers, whose seeds are below 0; those of tests are above."""
        drawn = draw_customers(self.customers, -1 - 1000 * self.seed - round_, self.wordings)
        return situations(play(self.guide, drawn), self.wordings)


def watched(tried: Sequence[Attempt]) -> dict[str, float]:
    """What a reward may not see: words a reply, different pairs of words, share of hand-overs."""
    texts = [attempt.reply for attempt in tried]
    different = richness([[text] for text in texts], samples=1)
    handed = sum(agent_turn(text).does("handover") for text in texts)
    return {
        "words": sum(len(text.split()) for text in texts) / len(texts),
        "distinct": different["distinct-2"].value,
        "handover": handed / len(texts),
    }


_POLICY_ACTS = ("request", "confirm", "notify", "leave", "handover", "decline", "inform")


def does_otherwise(said: str, better: str) -> bool:
    """Whether two replies differ in what they do or in what they name, not in their words only."""
    return _doing(said) != _doing(better)


def _doing(text: str) -> tuple[Any, ...]:
    turn = agent_turn(text)
    acts = frozenset(act for act in turn.acts if act[0] in _POLICY_ACTS)
    acts = acts or frozenset(turn.acts)
    return acts, frozenset(turn.slots.items()), frozenset(turn.values)
