"""Agents to play against the simulated customer: baselines, and a language model.

The baselines say what a figure is worth: one that says nothing of use, one that only asks, one that
always says it has acted, and one that repeats the reply of the most similar training dialogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.dialogue import Dialogue
from course_lib.policy.episodes import History
from course_lib.policy.understanding import mask


@dataclass(frozen=True, slots=True)
class DoNothing:
    """Says the same courtesy to everything; what still succeeds with it is a fault of the goals."""

    text: str = "I see."

    def reply(self, histories: Sequence[History]) -> list[str]:
        return [self.text for _ in histories]


@dataclass(frozen=True, slots=True)
class AlwaysAsk:
    """Asks for the order number, then the product, then the address, and from the start again."""

    questions: tuple[str, ...] = (
        "What is your order number, please?",
        "Which product do you mean?",
        "What is the new address?",
    )

    def reply(self, histories: Sequence[History]) -> list[str]:
        turns = [sum(m["role"] == "assistant" for m in history) for history in histories]
        return [self.questions[turn % len(self.questions)] for turn in turns]


@dataclass(frozen=True, slots=True)
class AlwaysYes:
    """Does every order operation at once, whatever the customer wants: it must not succeed."""

    text: str = (
        "Your order has been cancelled. Your return is noted, I have sent you the label by e-mail. "
        "I have changed the address of your order."
    )

    def reply(self, histories: Sequence[History]) -> list[str]:
        return [self.text for _ in histories]


@dataclass
class Retrieval:
    """The reply that followed the most similar context in the training dialogues.

    The context is the last `turns` messages with names and numbers masked; the order number,
    product and address in the found reply are replaced by the latest that the history names.
    """

    dialogues: Iterable[Dialogue]
    turns: int = 3
    _replies: list[str] = field(default_factory=list, init=False)
    _vectors: Any = field(default=None, init=False)
    _known: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        contexts = []
        for dialogue in self.dialogues:
            messages = dialogue.to_messages()
            for turn, message in enumerate(messages):
                if message["role"] == "assistant" and turn:
                    contexts.append(self._context(messages[:turn]))
                    self._replies.append(message["content"])
        if not contexts:
            raise ValueError("no dialogue has a reply to a message: nothing to retrieve")
        self._vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        self._known = self._vectors.fit_transform(contexts).T.tocsr()

    def reply(self, histories: Sequence[History]) -> list[str]:
        contexts = [self._context(history) for history in histories]
        best = (self._vectors.transform(contexts) @ self._known).toarray().argmax(1)
        return [self._adapted(self._replies[i], h) for i, h in zip(best, histories, strict=True)]

    def _context(self, history: History) -> str:
        """The last messages, each word marked with how far back it was said and by whom."""
        marked = []
        for back, message in enumerate(reversed(history[-self.turns :])):
            words = mask(message["content"]).text.lower().split()
            marked += [f"{word}_{back}" if back else word for word in words]
        return " ".join(marked)

    def _adapted(self, reply: str, history: History) -> str:
        named: dict[str, str] = {}
        for message in history:
            if message["role"] == "user":
                named |= mask(message["content"]).slots
        for slot, value in mask(reply).slots.items():
            reply = reply.replace(value, named.get(slot, value))
        return reply


@dataclass
class ModelAgent:
    """A language model as an agent: all waiting customers are answered in batches.

    Greedy by default; with a `generation.Sampling` in `sampling` its replies are drawn, and every
    turn draws with a seed of its own.
    """

    model: Any
    tokenizer: Any
    max_new_tokens: int = 64
    batch_size: int = 64
    sampling: Any = None
    _calls: int = field(default=0, init=False)

    def reply(self, histories: Sequence[History]) -> list[str]:
        from dataclasses import replace

        from course_lib.generation import generate

        options: dict[str, Any] = {}
        if self.sampling is not None:
            options["sampling"] = replace(self.sampling, seed=self.sampling.seed + self._calls)
        self._calls += 1
        return generate(
            self.model,
            self.tokenizer,
            histories,
            self.max_new_tokens,
            self.batch_size,
            **options,
        )
