"""What is known in a chat, for the panel beside it: the policy's wishes and slots, and what is due.

The model does not read this table: it is the rule engine's view of the same text (chapter 10), and
shows when the model asks for what was said, or acts on what was not.
"""

from __future__ import annotations

from collections.abc import Sequence

from course_lib.policy.rules import next_acts, read_state

WISH, DUE, NOTHING = "wish", "the rules would now", "wait"


def policy_state(messages: Sequence[dict[str, str]]) -> dict[str, str]:
    """The open wishes, every slot that is known, and what the rules would do next, by name."""
    state = read_state([m for m in messages if m["role"] != "system"])
    shown = {WISH: ", ".join(state.wishes)} if state.wishes else {}
    shown |= state.slots
    waits = not messages or messages[-1]["role"] != "user"
    acts = "" if waits else ", ".join(f"{act} {what}".strip() for act, what in next_acts(state))
    return shown | {DUE: acts.replace("_", " ") or NOTHING}
