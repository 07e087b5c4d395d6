"""The one renderer: messages in, token ids and loss mask out, built piece by piece in one pass.

Training, evaluation and chat all render here, so a prompt in a chat is a token prefix of what
training saw. `CHAT_TEMPLATE` says the same in Jinja, for libraries that expect a template.

    <bos><|user|>Does it leak?<|end|><|assistant|>No, it does not.<|end|>

Only the assistant's words and its end token are trained (bool mask, True = trained).

A model that brings its own template can keep it: `prepare_tokenizer(tokenizer, template="own")`.
Then the mask is found by rendering the dialogue prefix by prefix, and a template that gives an
earlier turn another form later is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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


Format = Literal["course", "own"]


def prepare_tokenizer(tokenizer: Any, template: Format | None = None) -> int:
    """Makes a fast Hugging Face tokenizer ready for dialogues; returns how many tokens came new.

    "course" adds the chat tokens, our template, and `<|end|>` as end of sequence. "own" keeps the
    template that the tokenizer brings, and takes for end of sequence what ends a reply in it. None
    stays with what was chosen before, else "course". A second call has no effect. The model's
    embeddings must follow: see `models.prepare_for_chat`.
    """
    _require_fast(tokenizer)
    before, template = len(tokenizer), template or format_of(tokenizer) or "course"
    _take_out_breaks(tokenizer)
    _keep_whole_offsets(tokenizer)
    if template == "own":
        _keep_own_template(tokenizer)
    else:
        _add_special(tokenizer, CHAT_TOKENS)
        tokenizer.eos_token, tokenizer.pad_token = END, PAD
    _shield(tokenizer)
    if template == "course":
        tokenizer.chat_template = _template(tokenizer)
    return len(tokenizer) - before


def format_of(tokenizer: Any) -> Format | None:
    """Which format the tokenizer was prepared for, None if for neither."""
    if not _takes_out_breaks(tokenizer):
        return None
    added = tokenizer.get_added_vocab()
    if all(token in added for token in CHAT_TOKENS):
        return "course"
    return "own" if tokenizer.chat_template else None


def _require_fast(tokenizer: Any) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise TypeError(
            f"{type(tokenizer).__name__} is no fast tokenizer; load it with "
            "AutoTokenizer.from_pretrained(…), which gives one that tracks characters"
        )


def _add_special(tokenizer: Any, tokens: Iterable[str]) -> None:
    """Adds tokens that no normalizer reaches and that take no white space beside them along."""
    from transformers import AddedToken

    plain = [AddedToken(t, normalized=False, lstrip=False, rstrip=False) for t in tokens]
    tokenizer.add_special_tokens(
        {"extra_special_tokens": plain}, replace_extra_special_tokens=False
    )
    tokenizer.add_tokens(plain, special_tokens=True)  # also where one of that name had other flags


def _takes_out_breaks(tokenizer: Any) -> bool:
    normalizer = tokenizer.backend_tokenizer.normalizer
    return normalizer is not None and BREAK not in normalizer.normalize_str(f"a{BREAK}b")


def _take_out_breaks(tokenizer: Any) -> None:
    from tokenizers import normalizers

    if _takes_out_breaks(tokenizer):
        return
    backend = tokenizer.backend_tokenizer
    known = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = normalizers.Sequence([normalizers.Replace(BREAK, ""), *known])


def _keep_whole_offsets(tokenizer: Any) -> None:
    """A token's characters include its white space, or `apply_chat_template` loses masks.

    It looks up the character at which a reply starts; trimmed offsets give a leading space to no
    token, and the reply and all later ones go untrained.
    """
    from tokenizers import processors

    post = tokenizer.backend_tokenizer.post_processor
    is_row = isinstance(post, processors.Sequence)
    parts: Any = post if is_row else [post]
    for part in parts:
        if isinstance(part, processors.ByteLevel):
            part.trim_offsets = False


def _shield(tokenizer: Any) -> None:
    """Sees to it that the text of every control token can be kept as text."""
    from transformers import AddedToken

    loose = [t for t in tokenizer.added_tokens_decoder.values() if t.special and t.normalized]
    tokenizer.add_tokens(
        [AddedToken(t.content, normalized=False, lstrip=t.lstrip, rstrip=t.rstrip) for t in loose],
        special_tokens=True,
    )
    control_tokens = _control_tokens(tokenizer)
    typed = [as_plain_text(token, control_tokens) for token in control_tokens]
    found = tokenizer(typed, add_special_tokens=False)["input_ids"]
    ids = tokenizer.convert_tokens_to_ids(control_tokens)
    open_ = [t for t, i, ids_of in zip(control_tokens, ids, found, strict=True) if i in ids_of]
    if open_:
        raise ValueError(
            f"typed by a user, {' '.join(open_)} would become control tokens in this tokenizer; "
            "it cannot be used with text that you have not written"
        )


def _control_tokens(tokenizer: Any, special_only: bool = False) -> list[str]:
    """The added tokens that steer, longest first; runs of white space and plain words do not."""
    added = tokenizer.added_tokens_decoder.values()
    steers = [t for t in added if t.special or not (t.normalized or special_only)]
    return sorted((t.content for t in steers if not t.content.isspace()), key=len, reverse=True)


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
    """Renders dialogues to ids and loss masks; all turns go through the tokenizer in one call."""
    require_chat_tokens(tokenizer)
    if format_of(tokenizer) == "own":
        return [_encode_by_prefixes(dialogue, tokenizer) for dialogue in dialogues]
    control_tokens = _control_tokens(tokenizer)
    turns = [text for d in dialogues for text in _turn_texts(d, control_tokens)]
    pieces = iter(_ids(turns, tokenizer))
    return [_assemble(dialogue, pieces, tokenizer) for dialogue in dialogues]


def encode_texts(texts: Sequence[str], tokenizer: Any) -> list[Encoded]:
    """Plain texts as in pretraining: between two of the tokenizer's first tokens, all trained."""
    edge = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    pieces = [[*edge, *ids, *edge] for ids in _ids(texts, tokenizer)]
    return [
        Encoded(ids, [False] + [True] * (len(ids) - 1), f"text-{n}")
        for n, ids in enumerate(pieces, 1)
        if len(ids) > 1
    ]


def _turn_texts(dialogue: Dialogue, control_tokens: Sequence[str]) -> Iterator[str]:
    """Each turn between its tokens: some tokenizers treat a text's very start differently."""
    for message in dialogue.messages:
        yield (
            _role_token(message.role, dialogue.id)
            + as_plain_text(message.content, control_tokens)
            + END
        )


def _ids(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    if not texts:
        return []
    found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, verbose=False)[
        "input_ids"
    ]
    return found


def _assemble(dialogue: Dialogue, pieces: Iterator[list[int]], tokenizer: Any) -> Encoded:
    encoded = Encoded([], [], dialogue.id)

    def add(ids: list[int], trained: bool) -> None:
        encoded.ids.extend(ids)
        encoded.mask.extend([trained] * len(ids))

    add(_bos(tokenizer), trained=False)
    for message in dialogue.messages:
        start = len(encoded.ids)
        role, *reply = next(pieces)  # the reply with its end token
        add([role], trained=False)
        add(reply, trained=message.role == "assistant" and message.train)
        encoded.turns.append((start, len(encoded.ids)))
    return encoded


def _bos(tokenizer: Any) -> list[int]:
    return [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]


def _role_token(role: str, dialogue_id: str) -> str:
    if role not in ROLE_TOKENS:
        known = ", ".join(ROLES)
        raise DialogueError(f"unknown role {role!r}; use one of {known}", dialogue_id=dialogue_id)
    return ROLE_TOKENS[role]


def require_chat_tokens(tokenizer: Any) -> None:
    """Raises ValueError when the tokenizer has not been prepared for dialogues."""
    if format_of(tokenizer):
        return
    missing = [token for token in CHAT_TOKENS if token not in tokenizer.get_added_vocab()]
    if missing:
        raise ValueError(
            f"the tokenizer lacks the chat tokens {' '.join(missing)}; "
            "call models.prepare_for_chat(model, tokenizer) first"
        )
    raise ValueError(
        "the tokenizer was loaded without its normalizer, so a typed control token could not "
        "be kept as text; call chat_format.prepare_tokenizer(tokenizer) again"
    )


def known_tokens(tokenizer: Any) -> int:
    """Number of tokens that the model knew before the chat tokens were added."""
    require_chat_tokens(tokenizer)
    added = tokenizer.get_added_vocab()
    ours = CHAT_TOKENS if format_of(tokenizer) == "course" else (PAD,)
    return min((added[token] for token in ours if token in added), default=len(tokenizer))


def prompt_ids(messages: Sequence[dict[str, Any]], tokenizer: Any) -> list[int]:
    """Ids of a history that waits for the assistant: up to and including `<|assistant|>`.

    With a template of the model's own, up to the end of that template's generation prompt.
    """
    return all_prompt_ids([messages], tokenizer)[0]


def all_prompt_ids(
    histories: Sequence[Sequence[dict[str, Any]]], tokenizer: Any
) -> list[list[int]]:
    """`prompt_ids` of many histories; all of them go through the tokenizer in one call."""
    dialogues = [Dialogue.from_dict({"id": "prompt", "messages": list(h)}) for h in histories]
    if format_of(tokenizer) == "own":
        safe = (_safe_messages(dialogue, tokenizer) for dialogue in dialogues)
        return _ids([_render(messages, tokenizer, True) for messages in safe], tokenizer)
    reply = tokenizer.convert_tokens_to_ids(ROLE_TOKENS["assistant"])
    return [[*encoded.ids, reply] for encoded in encode_all(dialogues, tokenizer)]


# ---- a template of the model's own


def _keep_own_template(tokenizer: Any) -> None:
    if not tokenizer.chat_template:
        raise ValueError("the tokenizer brings no chat template; use template='course'")
    if all(token in tokenizer.get_added_vocab() for token in CHAT_TOKENS):
        raise ValueError(
            "the tokenizer is prepared for the course's format already; load it anew to use the "
            "template that it came with"
        )
    tokenizer.eos_token = _own_end(tokenizer)
    if tokenizer.pad_token in (None, tokenizer.eos_token):
        _add_special(tokenizer, [PAD])
        tokenizer.pad_token = PAD


def _own_end(tokenizer: Any) -> str:
    """The control token that the template writes right behind a reply."""
    said = "Good"
    talk = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": said}]
    text = _render(talk, tokenizer)
    rest = text[text.rfind(said) + len(said) :]
    end = next((t for t in _control_tokens(tokenizer) if rest.startswith(t)), None)
    if end is None:
        raise ValueError(
            f"the chat template writes {rest[:20]!r} behind a reply, which is no special token, so "
            "a model could not learn where to stop; use template='course'"
        )
    return end


def _safe_messages(dialogue: Dialogue, tokenizer: Any) -> list[dict[str, Any]]:
    """Role and content with control tokens' text broken; a reply may hold non-special ones.

    `<think>` is such a token: from a model it is its own word, from a user it is not.
    """
    everyone, assistant = _control_tokens(tokenizer), _control_tokens(tokenizer, special_only=True)
    return [
        {
            "role": message.role,
            "content": as_plain_text(
                message.content, assistant if message.role == "assistant" else everyone
            ),
        }
        for message in dialogue.messages
    ]


def _render(messages: list[dict[str, Any]], tokenizer: Any, prompt: bool = False) -> str:
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=prompt
    )
    return text


def _encode_by_prefixes(dialogue: Dialogue, tokenizer: Any) -> Encoded:
    """Ids of the whole rendering; the mask from the renderings of its beginnings.

    A reply is trained from the end of its chat prompt to its end token. Each beginning must be a
    prefix of the whole, as text and as ids, so that training and chat see the same.
    """
    messages = _safe_messages(dialogue, tokenizer)
    try:
        whole = _render(messages, tokenizer)
        spans = {
            number: _reply_span(messages, number, whole, tokenizer)
            for number, message in enumerate(dialogue.messages)
            if message.role == "assistant" and message.train
        }
        ends = [
            _turn_end(messages[:number], whole, tokenizer) for number in range(1, len(messages))
        ]
    except ValueError as error:
        raise DialogueError(str(error), dialogue_id=dialogue.id) from None
    return _cut(dialogue.id, whole, spans, [*ends, len(whole)], tokenizer)


def _reply_span(
    messages: list[dict[str, Any]], number: int, whole: str, tokenizer: Any
) -> tuple[int, int]:
    """(first, last + 1) character of reply and end token, where a chat prompt leads up to it."""
    prompt = _render(messages[:number], tokenizer, prompt=True)
    chat = prompt + messages[number]["content"] + tokenizer.eos_token
    if not whole.startswith(chat):
        same = len(os.path.commonprefix([whole, chat]))
        raise ValueError(
            f"message {number}: behind {whole[:same][-30:]!r} a chat goes on with "
            f"{chat[same:][:40]!r}, but in training the template writes {whole[same:][:40]!r}. "
            "It is not prefix preserving, or it changes the reply: use template='course'"
        )
    return len(prompt), len(chat)


def _turn_end(messages: list[dict[str, Any]], whole: str, tokenizer: Any) -> int | None:
    """Where the last of these messages ends; None if the template joins it with the next one."""
    text = _render(messages, tokenizer)
    return len(text) if whole.startswith(text) else None


def _cut(
    dialogue_id: str,
    whole: str,
    spans: Mapping[int, tuple[int, int]],
    ends: Sequence[int | None],
    tokenizer: Any,
) -> Encoded:
    places = [place for span in spans.values() for place in span]
    cuts = [*places, *(end for end in ends if end is not None)]
    ids, *heads = _ids([whole, *(whole[:cut] for cut in cuts)], tokenizer)
    at = {
        cut: len(head) if ids[: len(head)] == head else None
        for cut, head in zip(cuts, heads, strict=True)
    }
    encoded = Encoded(ids, [False] * len(ids), dialogue_id)
    for number, (start, end) in spans.items():
        first, last = at[start], at[end]
        if first is None or last is None:
            raise DialogueError(
                f"message {number}: at an edge of the reply this tokenizer cuts the whole text "
                "otherwise than the chat prompt alone, so a chat would see other tokens than "
                "training; take white space off the reply's ends, or use template='course'",
                dialogue_id=dialogue_id,
            )
        encoded.mask[first:last] = [True] * (last - first)
    start = 0 if not ids or ids[0] != tokenizer.bos_token_id else 1
    for cut in ends:
        end_at = at.get(cut) if cut is not None else None
        encoded.turns.append((start, end_at if end_at is not None else start))
        start = encoded.turns[-1][1]
    return encoded


# ---- what the mask means


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
    end = tokenizer.eos_token
    # Decoded behind an end token, as some decoders take a space off a text's very start.
    found = _decode([tokenizer.eos_token_id, *trained], tokenizer).removeprefix(end)
    word, space = (_written_before(text, tokenizer) for text in ("a", " a"))
    expected = "".join(
        (space if text.startswith(" ") else word if text else "") + text + end
        for dialogue in dialogues
        for text in trained_replies(dialogue)
    )
    if found != expected and _normalized(found, tokenizer) != _normalized(expected, tokenizer):
        at = next(
            (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b),
            min(len(found), len(expected)),
        )
        raise AssertionError(
            f"the trained tokens are not the assistant's replies, from character {at} on: "
            f"trained {found[at : at + 60]!r}, expected {expected[at : at + 60]!r}"
        )


def _decode(ids: Sequence[int], tokenizer: Any) -> str:
    text: str = tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
    return text


def _written_before(text: str, tokenizer: Any) -> str:
    """What the tokenizer puts before a text that follows a control token: nothing, or a space."""
    end = tokenizer.eos_token
    found = _decode(_ids([f"{end}{text}{end}"], tokenizer)[0], tokenizer)
    return found.removeprefix(end).removesuffix(end).removesuffix(text)


def _normalized(text: str, tokenizer: Any) -> str:
    """The text as the tokenizer reads it: some compose accents, or write spaces as other signs."""
    read: str = tokenizer.backend_tokenizer.normalizer.normalize_str(text)
    return read


def trained_replies(dialogue: Dialogue) -> list[str]:
    """What the assistant says and is trained to say, turn by turn."""
    return [m.content for m in dialogue.messages if m.role == "assistant" and m.train]


def trained_text(dialogue: Dialogue) -> str:
    """The text a model is trained to produce: each trained reply followed by `<|end|>`."""
    return "".join(reply + END for reply in trained_replies(dialogue))
