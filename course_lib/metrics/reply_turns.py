"""What replies are measured on and beside: gold turns, the kind of a reply, and two baselines.

The baselines know no language: one says the commonest reply whatever was asked, one looks for the
most similar question in the training dialogues and repeats the answer given there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.dialogue import Dialogue
from course_lib.metrics.acts import acts_of, learn_acts

History = Sequence[Mapping[str, Any]]

KINDS = ("answers", "asks back", "confirms", "hands over", "other")
_KIND_OF_ACT = {
    "request": "asks back",
    "confirm": "confirms",
    "handover": "hands over",
    "inform": "answers",
}


@dataclass(frozen=True, slots=True)
class ReplyTurn:
    """A turn of the assistant: the messages before it, what was said then, and of which kind."""

    dialogue_id: str
    history: tuple[dict[str, Any], ...]
    reference: str
    kind: str

    @property
    def id(self) -> str:
        """Dialogue and number of the message."""
        return f"{self.dialogue_id}:{len(self.history)}"


def reply_turns(dialogues: Iterable[Dialogue]) -> list[ReplyTurn]:
    """Every turn of the assistant that follows a message, with the gold history before it."""
    found = []
    for dialogue in dialogues:
        messages = dialogue.to_messages()
        for number, message in enumerate(dialogue.messages):
            if number and message.role == "assistant":
                before = tuple(messages[:number])
                kind = reply_kind(acts_of(message))
                found.append(ReplyTurn(dialogue.id, before, message.content, kind))
    return found


def reply_kind(acts: Iterable[str]) -> str:
    """One of KINDS for acts as `metrics.acts` names them ("request product", "inform", …).

    Of several acts asking counts first, then confirming and handing over, then answering: what the
    customer must do next matters most.
    """
    kinds = {act.partition(" ")[0] for act in acts}
    return next((kind for act, kind in _KIND_OF_ACT.items() if act in kinds), "other")


def kind_reader(dialogues: Iterable[Dialogue]) -> Callable[[Sequence[str]], list[str]]:
    """A function from replies to their kinds, learned from annotated dialogues.

    It is a measuring instrument with errors of its own: test it on replies of known kind.
    """
    recognise = learn_acts(dialogues)
    return lambda texts: [reply_kind(acts) for acts in recognise(texts)]


def majority_reply(dialogues: Iterable[Dialogue]) -> str:
    """The reply that the assistant gives most often, word for word."""
    counts = Counter(turn.reference for turn in reply_turns(dialogues))
    if not counts:
        raise ValueError("no dialogue has a reply of the assistant")
    return min(counts, key=lambda text: (-counts[text], text))


@dataclass(slots=True)
class NearestQuestion:
    """Retrieval: the reply that followed the most similar last messages in known dialogues.

    Texts are compared by TF-IDF of words and pairs of words (scikit-learn), cosine; `turns` says
    how many messages before the reply count.
    """

    dialogues: Sequence[Dialogue]
    turns: int = 1
    _known: list[ReplyTurn] = field(default_factory=list, repr=False)
    _vectors: Any = field(default=None, repr=False)
    _matrix: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._known = reply_turns(self.dialogues)
        if not self._known:
            raise ValueError("no dialogue has a reply of the assistant to repeat")
        self._vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        self._matrix = self._vectors.fit_transform([self._asked(t.history) for t in self._known])

    def replies(self, histories: Sequence[History]) -> list[str]:
        """For each history the reply to the most similar one; the first of equals."""
        return [turn.reference for turn in self.nearest(histories)]

    def nearest(self, histories: Sequence[History]) -> list[ReplyTurn]:
        """The known turn whose question each history resembles most."""
        asked = self._vectors.transform([self._asked(history) for history in histories])
        likeness = asked @ self._matrix.T
        return [self._known[int(row.toarray().argmax())] for row in likeness]

    def _asked(self, history: History) -> str:
        return "\n".join(message["content"] for message in history[-self.turns :])
