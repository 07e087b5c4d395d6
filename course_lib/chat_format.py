"""The one renderer: messages in, token ids and loss mask out, built piece by piece in one pass.

Training, evaluation and chat all render here, so a prompt in a chat is a token prefix of what
training saw. `CHAT_TEMPLATE` says the same in Jinja, for libraries that expect a template.

    <bos><|user|>Does it leak?<|end|><|assistant|>No, it does not.<|end|>

Only the assistant's words and its end token are trained (bool mask, True = trained).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.dialogue import ROLES, Dialogue, DialogueError

ROLE_TOKENS = {role: f"<|{role}|>" for role in ROLES}
END = "<|end|>"
PAD = "<|pad|>"
CHAT_TOKENS = (*ROLE_TOKENS.values(), END, PAD)

# A Unicode noncharacter, never valid in exchanged text. Put inside a control token's text it keeps
# the tokenizer from seeing a control token; the tokenizer's normalizer then takes it out again.
BREAK = "\ufdd0"

CHAT_TEMPLATE = """\
{%- macro plain(text) -%}
{%- set safe = namespace(text=text) -%}
{%- for token in CONTROL_TOKENS -%}
{%- set safe.text = safe.text | replace(token, token[0] ~ 'BREAK' ~ token[1:]) -%}
{%- endfor -%}
{{- safe.text -}}
{%- endmacro -%}
{{- bos_token if bos_token else '' -}}
{%- for message in messages -%}
{%- if message.role not in ['ROLES'] -%}
{{- raise_exception('unknown role ' ~ message.role) -}}
{%- endif -%}
{{- '<|' ~ message.role ~ '|>' -}}
{%- if message.role == 'assistant' and message.train is not false -%}
{%- generation -%}{{- plain(message.content) ~ 'END' -}}{%- endgeneration -%}
{%- else -%}
{{- plain(message.content) ~ 'END' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


@dataclass(slots=True)
class Encoded:
    """A rendered dialogue: `ids` and `mask` (True = trained) of one length.

    `turns` holds the (start, end) token range of every message, its role token included.
    """

    ids: list[int]
    mask: list[bool]
    dialogue_id: str = ""
    turns: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def trained_ids(self) -> list[int]:
        return [token for token, trained in zip(self.ids, self.mask, strict=True) if trained]


def prepare_tokenizer(tokenizer: Any) -> int:
    """Adds the chat tokens, the template, and `<|end|>` as end of sequence; returns how many.

    Works on any fast Hugging Face tokenizer and may be called again without effect. The
    model's embeddings must follow: see `models.prepare_for_chat`.
    """
    _require_fast(tokenizer)
    added = tokenizer.add_special_tokens({"additional_special_tokens": list(CHAT_TOKENS)})
    tokenizer.eos_token, tokenizer.pad_token = END, PAD
    _take_out_breaks(tokenizer)
    tokenizer.chat_template = _template(tokenizer)
    return int(added)


def _require_fast(tokenizer: Any) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise TypeError(
            f"{type(tokenizer).__name__} is no fast tokenizer; load it with "
            "AutoTokenizer.from_pretrained(…), which gives one that tracks characters"
        )


def _take_out_breaks(tokenizer: Any) -> None:
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    strip = normalizers.Replace(BREAK, "")
    probe = f"a{BREAK}b"
    if backend.normalizer is None:
        backend.normalizer = normalizers.Sequence([strip])
    elif BREAK in backend.normalizer.normalize_str(probe):
        backend.normalizer = normalizers.Sequence([strip, backend.normalizer])


def _control_tokens(tokenizer: Any) -> list[str]:
    return sorted(tokenizer.get_added_vocab(), key=len, reverse=True)


def _template(tokenizer: Any) -> str:
    template = CHAT_TEMPLATE.replace("'ROLES'", ", ".join(f"'{role}'" for role in ROLES))
    template = template.replace("CONTROL_TOKENS", repr(_control_tokens(tokenizer)))
    return template.replace("END", END).replace("BREAK", BREAK)


def as_plain_text(text: str, control_tokens: Iterable[str]) -> str:
    """Breaks every control token's text, so that what somebody typed stays text."""
    for token in control_tokens:
        if token in text:
            text = text.replace(token, token[0] + BREAK + token[1:])
    return text


def encode(dialogue: Dialogue, tokenizer: Any) -> Encoded:
    """Renders one dialogue to ids and loss mask."""
    return encode_all([dialogue], tokenizer)[0]


def encode_all(dialogues: Sequence[Dialogue], tokenizer: Any) -> list[Encoded]:
    """Renders dialogues to ids and loss masks; all texts go through the tokenizer in one call."""
    require_chat_tokens(tokenizer)
    texts = [message.content for dialogue in dialogues for message in dialogue.messages]
    pieces = iter(_text_ids(texts, tokenizer))
    return [_assemble(dialogue, pieces, tokenizer) for dialogue in dialogues]


def _text_ids(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    if not texts:
        return []
    control_tokens = _control_tokens(tokenizer)
    safe = [as_plain_text(text, control_tokens) for text in texts]
    return tokenizer(safe, add_special_tokens=False, verbose=False)["input_ids"]


def _assemble(dialogue: Dialogue, pieces: Any, tokenizer: Any) -> Encoded:
    encoded = Encoded([], [], dialogue.id)

    def add(ids: Iterable[int], trained: bool) -> None:
        ids = list(ids)
        encoded.ids.extend(ids)
        encoded.mask.extend([trained] * len(ids))

    add(_bos(tokenizer), trained=False)
    end = tokenizer.convert_tokens_to_ids(END)
    for message in dialogue.messages:
        start = len(encoded.ids)
        trained = message.role == "assistant" and message.train
        add([_role_id(message.role, tokenizer, dialogue.id)], trained=False)
        add([*next(pieces), end], trained=trained)
        encoded.turns.append((start, len(encoded.ids)))
    return encoded


def _bos(tokenizer: Any) -> list[int]:
    return [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]


def _role_id(role: str, tokenizer: Any, dialogue_id: str) -> int:
    if role not in ROLE_TOKENS:
        known = ", ".join(ROLES)
        raise DialogueError(f"unknown role {role!r}; use one of {known}", dialogue_id=dialogue_id)
    return tokenizer.convert_tokens_to_ids(ROLE_TOKENS[role])


def require_chat_tokens(tokenizer: Any) -> None:
    """Raises ValueError when the tokenizer has not been prepared for the chat format."""
    missing = [token for token in CHAT_TOKENS if token not in tokenizer.get_added_vocab()]
    if missing:
        raise ValueError(
            f"the tokenizer lacks the chat tokens {' '.join(missing)}; "
            "call models.prepare_for_chat(model, tokenizer) first"
        )
    normalizer = tokenizer.backend_tokenizer.normalizer
    if normalizer is None or BREAK in normalizer.normalize_str(BREAK):
        raise ValueError(
            "the tokenizer was loaded without its normalizer, so a typed control token could not "
            "be kept as text; call chat_format.prepare_tokenizer(tokenizer) again"
        )


def known_tokens(tokenizer: Any) -> int:
    """Number of tokens that the model knew before the chat tokens were added."""
    require_chat_tokens(tokenizer)
    return min(tokenizer.convert_tokens_to_ids(list(CHAT_TOKENS)))


def prompt_ids(messages: Sequence[dict[str, Any]], tokenizer: Any) -> list[int]:
    """Ids of a history that waits for the assistant: up to and including `<|assistant|>`."""
    history = Dialogue.from_dict({"id": "prompt", "messages": list(messages)})
    reply = tokenizer.convert_tokens_to_ids(ROLE_TOKENS["assistant"])
    return [*encode(history, tokenizer).ids, reply]


def template_messages(dialogue: Dialogue) -> list[dict[str, Any]]:
    """What `apply_chat_template` takes for a dialogue: role, content, and `train`."""
    return [
        {"role": message.role, "content": message.content, "train": message.train}
        for message in dialogue.messages
    ]


def assert_mask(encoded: Encoded, dialogue: Dialogue, tokenizer: Any) -> None:
    """Raises AssertionError unless the trained ids are exactly what the assistant said.

    The one equality that fixes the mask's meaning: the trained ids decode to every assistant
    reply and its end token, in order, and nothing else.
    """
    assert_trained(encoded.trained_ids, [dialogue], tokenizer)


def assert_trained(trained: Sequence[int], dialogues: Iterable[Dialogue], tokenizer: Any) -> None:
    """As `assert_mask`, for the trained ids of several dialogues in a row."""
    found = tokenizer.decode(trained, clean_up_tokenization_spaces=False)
    expected = "".join(trained_text(dialogue) for dialogue in dialogues)
    if found != expected:
        at = next(
            (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b),
            min(len(found), len(expected)),
        )
        raise AssertionError(
            f"the trained tokens are not the assistant's replies, from character {at} on: "
            f"trained {found[at : at + 60]!r}, expected {expected[at : at + 60]!r}"
        )


def trained_text(dialogue: Dialogue) -> str:
    """The text a model is trained to produce: each trained reply followed by `<|end|>`."""
    return "".join(
        message.content + END
        for message in dialogue.messages
        if message.role == "assistant" and message.train
    )
