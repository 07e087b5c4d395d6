"""Chat prompts as other code would write them: what a prompt that differs from training costs.

The course's own prompt comes from `chat_format.prompt_ids`. These stand beside it to be measured.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.batching import IGNORE, pad_batch
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


def that_begins_itself(tokenizer: Any) -> Any:
    """A copy that puts the token of the beginning before every text, as Llama's kind does."""
    from tokenizers.processors import TemplateProcessing

    eager, bos = copy.deepcopy(tokenizer), tokenizer.bos_token
    eager.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    return eager


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


@torch.no_grad()
def reply_losses(
    model: Any, rows: Sequence[Encoded], pad_id: int, rows_per_batch: int = 16
) -> np.ndarray:
    """(D, 2): for each row the nats on its trained tokens, and how many they are."""
    model.eval()
    found = []
    for start in range(0, len(rows), rows_per_batch):
        batch = pad_batch(rows[start : start + rows_per_batch], pad_id)
        labels = batch.pop("labels")[:, 1:].to(model.device)
        logits = model(**{name: t.to(model.device) for name, t in batch.items()}).logits[:, :-1]
        nats = F.cross_entropy(logits.transpose(1, 2).float(), labels, reduction="none")
        found.append(torch.stack([nats.sum(1), (labels != IGNORE).sum(1)], dim=1))
    return torch.cat(found).cpu().numpy()


def per_token(sums: np.ndarray) -> np.ndarray:
    """(…, 2) -> (…): nats per trained token, as `annotation.scores.bootstrap` takes a measure."""
    return np.asarray(sums[..., 0] / sums[..., 1])
