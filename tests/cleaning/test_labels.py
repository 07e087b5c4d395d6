"""Wrong intents: planted ones are flagged, right ones stay, nothing is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.cleaning.labels import find_wrong_labels
from course_lib.dialogue import Dialogue, Message, read_dialogues

SHOP = Path(__file__).resolve().parents[2] / "data" / "shop"


def mislabelled(dialogues: list[Dialogue], every: int) -> tuple[list[Dialogue], set[str]]:
    """Each `every`-th dialogue's first long message gets the label of the dialogue before it."""
    made, wrong, last = [], set(), ""
    for number, dialogue in enumerate(dialogues):
        messages = list(dialogue.messages)
        place = next(
            (n for n, m in enumerate(messages) if m.intent and len(m.content.split()) > 4), None
        )
        if place is not None:
            true = messages[place].intent
            known = {message.intent for message in messages}
            if number % every == 0 and last not in known and last:
                messages[place] = replace(messages[place], intent=last)
                wrong.add(dialogue.id)
            last = str(true)
        made.append(replace(dialogue, messages=messages))
    return made, wrong


@pytest.mark.slow
def test_planted_labels_are_found() -> None:
    if not (SHOP / "train.jsonl").is_file():
        pytest.skip("data/shop is not built; run python -m course_lib.world build")
    clean = [d for d, _ in zip(read_dialogues(SHOP / "train.jsonl"), range(2500), strict=False)]
    spoilt, wrong = mislabelled(clean, 40)
    kept, rejected, flags = find_wrong_labels(spoilt)
    found = {flag.dialogue_id for flag in flags}
    assert kept == spoilt and not rejected and all(flag.is_flag for flag in flags)
    assert len(found & wrong) >= 0.75 * len(wrong) > 20
    assert len(found & wrong) >= 0.4 * len(found)  # a person looks at each


def test_without_enough_labels_nothing_is_judged() -> None:
    talk = [Dialogue(f"d{n}", [Message("user", "hello there", "greeting")]) for n in range(30)]
    assert find_wrong_labels(talk)[2] == []
    assert find_wrong_labels([])[2] == []
