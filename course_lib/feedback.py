"""Feedback from a chat: thumbs and corrected answers, kept as dialogues.

Every click is one line in the dialogue record, on the disk before the next, so chapter 02 reads,
cleans and redacts the file like any other log. The conversation up to the judged reply is context;
what may be learned from is marked as everywhere by `train`: a corrected or a liked reply is
trained, one that was disliked is not. `policy.outcome` says which it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.annotation.log import _write_line
from course_lib.dialogue import Dialogue, DialogueError, Message, read_dialogues, validate

LIKED, DISLIKED, CORRECTED = "liked", "disliked", "corrected"
OUTCOMES = (LIKED, DISLIKED, CORRECTED)
SOURCE = "chat"

Messages = Sequence[dict[str, str]]

# ---- writing


class FeedbackLog:
    """A file of judged replies, one dialogue a line; each method returns the dialogue it wrote.

    Several chats may write to one file. A half line that a crash left is kept as it is, on a line
    of its own: the reader sets it aside with its reason.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def like(self, messages: Messages) -> Dialogue:
        """The last message, a reply, was good."""
        return self._write(messages, LIKED, trained=True)

    def dislike(self, messages: Messages) -> Dialogue:
        """The last message, a reply, was bad."""
        return self._write(messages, DISLIKED, trained=False)

    def correct(self, messages: Messages, better: str) -> Dialogue:
        """The last message, a reply, should have been `better`; what it was is kept in the goal."""
        if not better.strip():
            raise ValueError("the corrected answer is empty: write what the reply should have been")
        _require_reply(messages)
        right = [*messages[:-1], {"role": "assistant", "content": better.strip()}]
        said = {"slots": {"instead_of": plain(messages[-1]["content"])}}
        return self._write(right, CORRECTED, trained=True, goal=said)

    def _write(
        self,
        messages: Messages,
        outcome: str,
        trained: bool,
        goal: dict[str, Any] | None = None,
    ) -> Dialogue:
        _require_reply(messages)
        content = self.path.read_bytes() if self.path.exists() else b""
        name = f"{self.path.stem}-{content.count(10) + 1:05d}"
        dialogue = judged(name, messages, outcome, trained, goal)
        line = json.dumps(validate(dialogue).to_dict(), ensure_ascii=False).encode("utf-8") + b"\n"
        torn = b"\n" if content and not content.endswith(b"\n") else b""
        _write_line(self.path, torn + line, len(content))
        return dialogue


def _require_reply(messages: Messages) -> None:
    if not messages or messages[-1]["role"] != "assistant":
        raise ValueError("there is no reply to judge: the last message must be the assistant's")


def judged(
    name: str,
    messages: Messages,
    outcome: str,
    trained: bool = True,
    goal: dict[str, Any] | None = None,
) -> Dialogue:
    """A conversation whose last reply was judged, as a dialogue: all before it is context only."""
    texts = [(message["role"], plain(message["content"])) for message in messages]
    turns = [Message(role, text, train=False) for role, text in texts]
    turns[-1].train = trained
    first = next((text for role, text in texts if role == "user"), name)
    family = hashlib.sha256(first.encode()).hexdigest()[:8]
    policy = {"must_ask": [], "must_confirm": [], "outcome": outcome}
    return Dialogue(
        name, turns, source=SOURCE, family_id=f"chat-{family}", goal=goal, policy=policy
    )


def plain(text: str) -> str:
    """Text that a file can hold: half surrogate pairs become "?"."""
    return text.encode("utf-8", "replace").decode("utf-8")


# ---- reading


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a file of feedback holds, by outcome."""

    liked: list[Dialogue]
    disliked: list[Dialogue]
    corrected: list[Dialogue]

    def __str__(self) -> str:
        return (
            f"{len(self.liked)} liked, {len(self.disliked)} disliked, "
            f"{len(self.corrected)} corrected"
        )


def read_feedback(path: str | Path) -> Feedback:
    """The feedback in a file; half a line is passed over. Of several corrections the last counts.

    Raises DialogueError for a line that is whole and no judged dialogue.
    """
    return sort_feedback(read_dialogues(path, []))


def sort_feedback(dialogues: Iterable[Dialogue]) -> Feedback:
    """Dialogues of feedback by outcome; of one history only the last correction counts."""
    found: dict[str, list[Dialogue]] = {outcome: [] for outcome in OUTCOMES}
    for dialogue in dialogues:
        outcome = (dialogue.policy or {}).get("outcome")
        if outcome not in found:
            raise DialogueError(
                f"the outcome {outcome!r} is none of {', '.join(OUTCOMES)}: this is no feedback",
                dialogue_id=dialogue.id,
            )
        found[outcome].append(dialogue)
    last = {_history(dialogue): dialogue for dialogue in found[CORRECTED]}
    return Feedback(found[LIKED], found[DISLIKED], list(last.values()))


def _history(dialogue: Dialogue) -> tuple[tuple[str, str], ...]:
    return tuple((message.role, message.content) for message in dialogue.messages[:-1])
