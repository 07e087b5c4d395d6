"""Two forms of one task: a decoder-only model beside an encoder-decoder, on the same replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.batching import PackedDialogues, truncate_all
from course_lib.chat_format import Encoded
from course_lib.generation import History as Messages
from course_lib.generation import generate
from course_lib.metrics import held_out_loss
from course_lib.models import count_parameters
from course_lib.seq2seq import (
    ReplyPairs,
    pair_loss,
    reply_pairs,
    seq2seq_replies,
    small_encoder_decoder,
    start_id,
)
from course_lib.training import train
from course_lib.transfer import config_from, new_model

ROW = 256  # tokens in a packed row


@dataclass(slots=True)
class Form:
    """A trained model: its weights, the tokens it was trained on, its held-out loss per token."""

    name: str
    model: Any
    tokenizer: Any
    weights: int
    trained_tokens: int
    loss: float

    def replies(self, histories: Sequence[Messages], max_new_tokens: int = 24) -> list[str]:
        """Greedy replies to histories of messages."""
        write = seq2seq_replies if self.model.config.is_encoder_decoder else generate
        return write(self.model, self.tokenizer, histories, max_new_tokens)


def compare_forms(
    dialogues: Sequence[Encoded],
    held_out: Sequence[Encoded],
    tokenizer: Any,
    steps: int,
    on_form: Callable[[Form], None] | None = None,
) -> list[Form]:
    """Trains an encoder-decoder and a decoder from random weights, and the base model.

    All with the same recipe and number of steps on the same replies; each is measured on the same
    held-out tokens.
    """
    makers = {
        "encoder–decoder": lambda: small_encoder_decoder(tokenizer),
        "decoder only": lambda: new_model("random")[0],
        "base model": lambda: new_model("base")[0],
    }
    forms = []
    for name, make in makers.items():
        form = _trained(name, make(), tokenizer, dialogues, held_out, steps)
        forms.append(form)
        if on_form:
            on_form(form)
    return forms


def _trained(
    name: str,
    model: Any,
    tokenizer: Any,
    dialogues: Sequence[Encoded],
    held_out: Sequence[Encoded],
    steps: int,
) -> Form:
    pad, start = tokenizer.pad_token_id, start_id(tokenizer)
    config = config_from("base" if name == "base model" else "random", tokenizer, steps)
    dialogues, _ = truncate_all(dialogues, ROW)
    data: Any = PackedDialogues(dialogues, pad, ROW)
    if model.config.is_encoder_decoder:
        data = ReplyPairs(reply_pairs(dialogues), pad, start)
    history = train(model, data, config)
    if model.config.is_encoder_decoder:
        loss = pair_loss(model, reply_pairs(held_out), pad, start)
    else:
        loss = held_out_loss(model, held_out, pad)["eval_loss"]
    tokens = sum(int(record["tokens"]) for record in history.records)
    return Form(name, model, tokenizer, count_parameters(model), tokens, loss)
