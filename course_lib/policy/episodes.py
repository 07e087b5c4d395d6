"""Episodes: an agent plays against simulated customers, all of them in lock step.

An agent is anything with `reply(histories) -> list[str]`. It is given one history for each customer
that still waits, so a model can answer them as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from course_lib.policy.customer import DONE, Customer, Step
from course_lib.policy.understanding import prepare
from course_lib.world.dialogues import Family

History = Sequence[dict[str, str]]


class Agent(Protocol):
    """What answers customers: one reply for each history (role and content of every message)."""

    def reply(self, histories: Sequence[History]) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Episode:
    """A talk that has ended: the messages, each reply's step, and how every task ended.

    `outcomes` holds for each task of the goal a success (`customer.DONE`) or why it failed.
    """

    goal: Family
    seed: int
    messages: tuple[dict[str, str], ...]
    steps: tuple[Step, ...]
    outcomes: tuple[str, ...]
    success: bool

    @property
    def failure(self) -> str | None:
        """Why the first task that failed did so; None after a success."""
        return next((outcome for outcome in self.outcomes if outcome not in DONE), None)

    @property
    def replies(self) -> list[str]:
        """The agent's messages."""
        return [step.reply for step in self.steps]

    def text(self) -> str:
        """The talk for reading: role and words, and behind each reply what was due and done."""
        lines, steps = [], iter(self.steps)
        for message in self.messages:
            lines.append(f"{message['role']:>9}: {message['content']}")
            if message["role"] == "assistant":
                step = next(steps)
                lines.append(f"{'':>11}due {_spelled(step.due)}; does {_spelled(step.turn.acts)}")
        return "\n".join([*lines, f"{'outcome':>9}: {', '.join(self.outcomes)}"])


def _spelled(acts: object) -> str:
    named = [act if slot is None else f"{act} {slot}" for act, slot in sorted(acts, key=str)]  # type: ignore[call-overload]
    return ", ".join(named) or "nothing"


def play(
    agent: Agent,
    customers: Sequence[Customer],
    max_turns: int = 12,
    on_turn: Callable[[int], None] | None = None,
) -> list[Episode]:
    """Plays every customer to its end, in their order; `on_turn(n)` is told how many still wait.

    After `max_turns` replies a customer leaves. Customers are used up: draw new ones to play again.
    """
    if max_turns < 1:
        raise ValueError(f"max_turns={max_turns} lets nobody speak; take at least 1")
    if any(customer.steps for customer in customers):
        raise ValueError("a customer has played already; draw new ones to play again")
    talks = [[{"role": "user", "content": customer.opening()}] for customer in customers]
    waiting = list(range(len(customers)))
    while waiting:
        if on_turn:
            on_turn(len(waiting))
        replies = agent.reply([list(talks[i]) for i in waiting])
        if len(replies) != len(waiting):
            raise ValueError(f"the agent gave {len(replies)} replies to {len(waiting)} histories")
        prepare(replies)
        for i, reply in zip(waiting, replies, strict=True):
            _turn(talks[i], customers[i], reply, max_turns)
        waiting = [i for i in waiting if talks[i][-1]["role"] == "user"]
    return [_episode(customer, talk) for customer, talk in zip(customers, talks, strict=True)]


def _turn(talk: list[dict[str, str]], customer: Customer, reply: str, max_turns: int) -> None:
    talk.append({"role": "assistant", "content": reply})
    answer = customer.hear(reply)
    if answer is not None and len(customer.steps) < max_turns:
        talk.append({"role": "user", "content": answer})
    elif answer is not None:
        customer.end("ran out of turns")


def _episode(customer: Customer, talk: list[dict[str, str]]) -> Episode:
    outcomes = tuple(errand.outcome or "" for errand in customer.errands)
    messages, steps = tuple(talk), tuple(customer.steps)
    return Episode(customer.goal, customer.seed, messages, steps, outcomes, customer.success)
