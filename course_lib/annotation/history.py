"""What a model is shown of the past: a window, a token budget that keeps the task, known slots.

All functions are pure: they take messages in order and return new lists. System turns always stay
in front. The slots that the customer has named are carried along, so that a reply in turn 5 still
knows what was said in turn 1 after turn 1 has gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from course_lib.dialogue import Message

Count = Callable[[Message], int]
Slots = dict[str, str]

# Intents that answer the agent or are courtesies: they open no request of their own.
FOLLOW_UPS = frozenset(
    {
        "affirm",
        "correct_order",
        "correct_product",
        "deny",
        "give_address",
        "give_order_number",
        "give_product",
        "goodbye",
        "greeting",
        "small_talk",
        "thanks",
    }
)
OPENING_ACTS = frozenset({"request", "complain"})


def last_turns(messages: Sequence[Message], turns: int) -> list[Message]:
    """The system turns, then the last `turns` other messages."""
    if turns < 1:
        raise ValueError(f"a window of {turns} messages shows nothing; take at least 1")
    others = [message for message in messages if message.role != "system"]
    return [*_system_turns(messages), *others[-turns:]]


def _system_turns(messages: Iterable[Message]) -> list[Message]:
    return [message for message in messages if message.role == "system"]


def opens_request(message: Message) -> bool:
    """Whether a customer's turn states a wish: by its acts, else by its intent.

    A customer's turn without any label might, so it counts.
    """
    if message.role != "user":
        return False
    if message.acts:
        return any(act in OPENING_ACTS for act, _ in message.acts)
    return message.intent not in FOLLOW_UPS


def opening_turn(
    messages: Sequence[Message], opens: Callable[[Message], bool] = opens_request
) -> int | None:
    """Index of the message that opened the request now under way; None before the first."""
    return max((i for i, message in enumerate(messages) if opens(message)), default=None)


def fit_budget(
    messages: Sequence[Message],
    budget: int,
    count: Count,
    opens: Callable[[Message], bool] = opens_request,
) -> list[Message]:
    """Drops the oldest messages until `count` of all is at most `budget`; the task stays.

    The task is the system turns, the turn that opened the current request, and the last message.
    Raises ValueError when these alone are too long.
    """
    must = _task(messages, opens)
    sizes = [count(message) for message in messages]
    room = budget - sum(sizes[i] for i in must)
    if room < 0:
        raise ValueError(
            f"the task alone takes {budget - room} tokens of {budget}: raise the budget, or "
            "shorten the system turn"
        )
    kept = set(must)
    for i in reversed(range(len(messages))):
        if i in must:
            continue
        if sizes[i] > room:
            break  # no gaps: what is older goes too
        kept.add(i)
        room -= sizes[i]
    return [messages[i] for i in sorted(kept)]


def _task(messages: Sequence[Message], opens: Callable[[Message], bool]) -> set[int]:
    must = {i for i, message in enumerate(messages) if message.role == "system"}
    opened = opening_turn(messages, opens)
    if opened is not None:
        must.add(opened)
    return must | {len(messages) - 1} if messages else must


def newest(messages: Sequence[Message], budget: int, count: Count) -> list[Message]:
    """The newest messages of which `count` is together at most `budget`, whatever they say.

    The plain cut that `fit_budget` improves on: it drops the task with everything else.
    """
    return fit_budget(messages, budget, count, opens=lambda message: False)


def token_count(tokenizer: object, extra: int = 2) -> Count:
    """Counts a message in tokens; `extra` is what the chat format adds (role and end)."""

    def count(message: Message) -> int:
        ids = tokenizer(message.content, add_special_tokens=False, verbose=False)  # type: ignore[operator]
        return len(ids["input_ids"]) + extra

    return count


def carried_slots(messages: Iterable[Message], roles: tuple[str, ...] = ("user",)) -> Slots:
    """The dialogue state: the latest value of each slot that `roles` have named.

    Slots stand in the order of their latest mention; a later value replaces an earlier one, so a
    correction counts.
    """
    state: Slots = {}
    for message in messages:
        for entity in message.entities if message.role in roles else ():
            state.pop(entity.slot, None)
            state[entity.slot] = entity.value
    return state


def states(messages: Sequence[Message], roles: tuple[str, ...] = ("user",)) -> list[Slots]:
    """The dialogue state after each message."""
    return [carried_slots(messages[: end + 1], roles) for end in range(len(messages))]


def state_text(slots: Slots) -> str:
    """The state as a sentence for the system turn; empty without slots."""
    if not slots:
        return ""
    named = "; ".join(f"{slot.replace('_', ' ')}: {value}" for slot, value in slots.items())
    return f"Known so far: {named}."


def with_state(messages: Sequence[Message], slots: Slots) -> list[Message]:
    """The messages with the state at the end of the first system turn; one is added if need be."""
    text = state_text(slots)
    if not text:
        return list(messages)
    for i, message in enumerate(messages):
        if message.role == "system":
            told = replace(message, content=f"{message.content} {text}".strip())
            return [*messages[:i], told, *messages[i + 1 :]]
    return [Message("system", text), *messages]


def remember(messages: Sequence[Message], turns: int) -> list[Message]:
    """The last `turns` messages, and in the system turn the slots that only older ones named."""
    return _with_forgotten(last_turns(messages, turns), messages)


def remember_within(messages: Sequence[Message], budget: int, count: Count) -> list[Message]:
    """What `fit_budget` keeps, and in the system turn the slots that only other messages named.

    The sentence with the slots comes on top of the budget.
    """
    return _with_forgotten(fit_budget(messages, budget, count), messages)


def _with_forgotten(shown: Sequence[Message], messages: Sequence[Message]) -> list[Message]:
    seen = carried_slots(shown)
    forgotten = {s: v for s, v in carried_slots(messages).items() if seen.get(s) != v}
    return with_state(shown, forgotten)


# ---- what a reply needs


def needed_slots(reply: Message, known: Slots) -> Slots:
    """The known slots whose values a reply names: who has not seen them cannot write it."""
    named = {entity.value for entity in reply.entities}
    return {slot: value for slot, value in known.items() if value in named}


def in_view(shown: Iterable[Message], before: Iterable[Message], value: str) -> bool:
    """Whether a value stands in what is shown, in any wording that the messages before had."""
    wordings = {e.text for m in before for e in m.entities if e.value == value} | {value}
    text = "\n".join(message.content for message in shown).casefold()
    return any(wording.casefold() in text for wording in wordings)
