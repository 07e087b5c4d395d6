"""Chat prompts as other code would write them: what a prompt that differs from training costs.

The course's own prompt comes from `chat_format.prompt_ids`. These stand beside it to be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from course_lib.chat_format import END, ROLE_TOKENS, Encoded, as_plain_text, encode
from course_lib.dialogue import Dialogue, DialogueError, Message

ASKS = ROLE_TOKENS["assistant"]


def _turns(messages: Sequence[Message], before: str = "", after: str = END) -> str:
    return "".join(f"{ROLE_TOKENS[m.role]}{before}{_text(m)}{after}" for m in messages)


def _text(message: Message) -> str:
    return as_plain_text(message.content, (END, *ROLE_TOKENS.values()))


def _words(messages: Sequence[Message]) -> str:
    lines = [f"{message.role.capitalize()}: {_text(message)}" for message in messages]
    return "\n".join([*lines, "Assistant:"])


# Each gets the history and the token that begins a text, and writes the whole prompt.
PROMPTS: Mapping[str, Callable[[Sequence[Message], str], str]] = {
    "as trained": lambda messages, bos: bos + _turns(messages) + ASKS,
    "two beginnings": lambda messages, bos: bos + bos + _turns(messages) + ASKS,
    "a space after the role": lambda messages, bos: bos + _turns(messages, " ") + ASKS + " ",
    "a line end after the role": lambda messages, bos: bos + _turns(messages, "\n") + ASKS + "\n",
    "no end tokens": lambda messages, bos: bos + _turns(messages, after="") + ASKS,
    "roles as words": lambda messages, bos: bos + _words(messages),
    "the assistant not asked": lambda messages, bos: bos + _turns(messages),
}


def skewed_prompt(messages: Sequence[Message], tokenizer: Any, name: str) -> list[int]:
    """Ids of a history that waits for the assistant, written in the way called `name`.

    "as trained" gives what `chat_format.prompt_ids` gives. Raises KeyError for a name that
    `PROMPTS` lacks.
    """
    text = PROMPTS[name](messages, tokenizer.bos_token or "")
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def behind_prompts(dialogues: Sequence[Dialogue], tokenizer: Any, name: str) -> list[Encoded]:
    """The last reply of each dialogue behind a prompt of that kind; only the reply is trained.

    The reply's own ids are the same behind every prompt, so the losses can be compared.
    """
    return [_behind(dialogue, tokenizer, name) for dialogue in dialogues]


def _behind(dialogue: Dialogue, tokenizer: Any, name: str) -> Encoded:
    replies = [i for i, m in enumerate(dialogue.messages) if m.role == "assistant"]
    if not replies:
        raise DialogueError("has no reply of the assistant", dialogue_id=dialogue.id)
    history, whole = dialogue.messages[: replies[-1]], encode(dialogue, tokenizer)
    start, end = whole.turns[replies[-1]]
    reply = whole.ids[start + 1 : end]
    prompt = skewed_prompt(history, tokenizer, name)
    return Encoded(prompt + reply, [False] * len(prompt) + [True] * len(reply), dialogue.id)
