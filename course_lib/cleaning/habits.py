"""What only the whole data set shows: swapped roles, replies that break off."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from course_lib.cleaning.changes import DataSetResult, Rejected, normalised
from course_lib.dialogue import Dialogue

FINAL_MARK = re.compile(r"[^\w\s,][\s]*$")


def find_swapped_roles(
    dialogues: Iterable[Dialogue], margin: float = 5.0, clear: float = 0.9
) -> DataSetResult:
    """Sets aside dialogues whose agent talks like the customers and the other way round.

    A naive Bayes model of both roles' words and word pairs, learned from the same dialogues
    (each message left out of its own judgement), must favour the swap by e to the `margin`.
    Only where the share `clear` of all dialogues is as sure of the roles as they stand:
    elsewhere both sides talk alike and it means nothing.
    """
    dialogues = list(dialogues)
    judged = role_odds(dialogues)
    if sum(odds > margin for odds in judged) < clear * len(dialogues):
        return dialogues, [], []
    kept, rejected = [], []
    for dialogue, odds in zip(dialogues, judged, strict=True):
        if odds < -margin:
            reason = f"the roles are swapped (log odds {-odds:.0f})"
            rejected.append(Rejected(dialogue.id, "find_swapped_roles", reason, None, dialogue))
        else:
            kept.append(dialogue)
    return kept, rejected, []


def role_odds(dialogues: Sequence[Dialogue], at_least: int = 5) -> list[float]:
    """For each dialogue the log odds that its roles are as they stand rather than swapped."""
    sides = ("user", "assistant")
    spoken = [
        [(m.role, _word_features(m.content)) for m in dialogue.messages if m.role in sides]
        for dialogue in dialogues
    ]
    counts = {side: Counter[str]() for side in sides}
    turns = Counter(side for messages in spoken for side, _ in messages)
    for messages in spoken:
        for side, features in messages:
            counts[side].update(features)

    def odds(side: str, feature: str) -> float:
        other = sides[side == "user"]
        own, their = counts[side][feature] - 1, counts[other][feature]
        if own + their < at_least:
            return 0.0
        return math.log((own + 0.5) / (turns[side] + 1) * (turns[other] + 1) / (their + 0.5))

    return [
        sum(odds(side, feature) for side, features in messages for feature in features)
        for messages in spoken
    ]


def _word_features(text: str) -> set[str]:
    words = ["<", *normalised(text).split(), ">"]
    return {*words[1:-1], *(f"{one} {two}" for one, two in zip(words, words[1:], strict=False))}


def find_cut_replies(dialogues: Iterable[Dialogue], habit: float = 0.98) -> DataSetResult:
    """Sets aside dialogues with a reply that breaks off: it ends without any final mark.

    Only where at least the share `habit` of all replies has one: elsewhere it means nothing.
    """
    dialogues = list(dialogues)
    cut = [
        [n for n, m in enumerate(d.messages) if m.role == "assistant" and _breaks_off(m.content)]
        for d in dialogues
    ]
    replies = sum(m.role == "assistant" for d in dialogues for m in d.messages)
    if sum(map(len, cut)) > (1 - habit) * replies:
        return dialogues, [], []
    kept = [dialogue for dialogue, numbers in zip(dialogues, cut, strict=True) if not numbers]
    rejected = [
        Rejected(d.id, "find_cut_replies", f"message {numbers[0]} breaks off", None, d)
        for d, numbers in zip(dialogues, cut, strict=True)
        if numbers
    ]
    return kept, rejected, []


def _breaks_off(text: str) -> bool:
    return FINAL_MARK.search(text) is None
