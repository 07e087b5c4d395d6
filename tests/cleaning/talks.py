"""Small dialogues that the tests of cleaning share."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from course_lib.dialogue import Dialogue, Message, read_dialogues

SHOP = Path(__file__).resolve().parents[2] / "data" / "shop"

LOOPS = [
    "I can help. I can help. I can help! I can help.",
    "the lamp is on the lamp is on the lamp is on the lamp is on",
    "Sure: press it, press it, press it, press it.",
    "yes " * 8,
    "Hold the button. Good luck. " * 4,
    "Gladly. Gladly. Gladly. Gladly.",
]
LONG = (
    "Hello, my kettle will not switch on any more, and I have tried two different sockets.",
    "I am sorry to hear that. Does the light at the base come on when you lift the lid?",
    "It does come on, but only for a moment, and then it goes out again.",
    "Then the contact below the jug needs cleaning; a dry cloth is enough. Anything else?",
)


def talk(*turns: str, name: str = "d1", first: str = "user") -> Dialogue:
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    return Dialogue(name, [Message(roles[n % 2], text) for n, text in enumerate(turns)])


def mixed() -> list[Dialogue]:
    return [
        talk(*LONG, name="a"),
        talk(*LONG, name="copy"),
        talk("caf\u00c3\u00a9 &amp; bar?", "Yes.", name="broken"),
        talk("hi", LOOPS[0], name="loop"),
        talk("only me", name="alone"),
        talk("", " ", name="empty"),
        talk("call me on 07700 900123", "I will.", name="phone"),
    ]


def shop_talks(count: int = 40) -> list[Dialogue]:
    rng = random.Random(8)
    asked = ["I want to send back my lamp", "my kettle leaks", "can you cancel my order please"]
    said = ["Which order number is it?", "I am sorry about that.", "I have noted it for you."]
    turns = [[rng.choice(asked), rng.choice(said)] for _ in range(2 * count)]
    return [talk(*turns[2 * n], *turns[2 * n + 1], name=f"t{n}") for n in range(count)]


def shop_dialogues(name: str, count: int) -> list[Dialogue]:
    """The first dialogues of one of the shop's files; skips where it is not built."""
    path = SHOP / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip("data/shop is not built; run python -m course_lib.world build")
    return [dialogue for _, dialogue in zip(range(count), read_dialogues(path, []), strict=False)]


def near_copy(dialogue: Dialogue, rng: random.Random) -> Dialogue:
    """The same dialogue typed again: a greeting more, the ending cut off, or typos."""
    said = [m.content for m in dialogue.messages]
    kind = rng.randrange(3)
    if kind == 0:
        said[0] = f"Hello there, {said[0]}"
    elif kind == 1 and len(said) > 4:
        said = said[:-2]
    else:
        said = [_mistyped(text, rng) for text in said]
    roles = [m.role for m in dialogue.messages]
    turns = [Message(role, text) for role, text in zip(roles, said, strict=False)]
    return Dialogue(f"near {dialogue.id}", turns)


def _mistyped(text: str, rng: random.Random) -> str:
    letters = list(text)
    for _ in range(len(letters) // 40):
        letters[rng.randrange(len(letters))] = rng.choice("abcdefghij")
    return "".join(letters)
