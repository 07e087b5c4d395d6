"""The toy batch: three dialogues small enough to print, the same in chapters 04, 05 and 06."""

from __future__ import annotations

from course_lib.dialogue import Dialogue, Message


def three_dialogues() -> list[Dialogue]:
    """One short exchange, one of two turns, and one whose greeting is context only.

    Their facts are the shop's own; `toy-3` opens with a reply that is not trained.
    """
    return [
        Dialogue(
            "toy-1",
            [Message("user", "Thank you!"), Message("assistant", "You are welcome.")],
        ),
        Dialogue(
            "toy-2",
            [
                Message("user", "How heavy is the Whirrel blender?"),
                Message("assistant", "It weighs 3.1 kilograms."),
                Message("user", "And the price?"),
                Message("assistant", "79 euros."),
            ],
        ),
        Dialogue(
            "toy-3",
            [
                Message("assistant", "Hello! How can I help?", train=False),
                Message("user", "Is the Jompa blender loud?"),
                Message("assistant", "It reaches 83 decibels."),
            ],
        ),
    ]
