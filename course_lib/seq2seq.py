"""The sequence-to-sequence way: an encoder reads the history, a decoder writes the reply.

A decoder-only model reads history and reply as one row of tokens. An encoder-decoder gets them
apart: the history goes to the encoder, and every trained reply is a pair of its own. In training
the decoder reads the right reply, moved one to the right behind a start token (teacher forcing), so
position t has seen the tokens before t and is to predict token t: labels and logits stand in line.

The tokens, the mask and the loss are those of `chat_format` and `losses`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from course_lib.batching import IGNORE, Batch
from course_lib.chat_format import ROLE_TOKENS, Encoded, prompt_ids
from course_lib.generation import PLAIN_GREEDY
from course_lib.losses import count_trained, lm_loss
from course_lib.models import base_model_name, without_dropout

_GROUP = 16  # batches that are sorted by length together, so that little is padded


@dataclass(frozen=True, slots=True)
class Pair:
    """A reply (with its end token) and everything that was said before it, as token ids."""

    history: list[int]
    reply: list[int]
    dialogue_id: str = ""


def reply_pairs(dialogues: Iterable[Encoded], max_history: int | None = None) -> list[Pair]:
    """One pair for every trained reply; of a history the last `max_history` tokens are kept.

    The history ends with the role token that calls for the reply.
    """
    pairs = []
    for dialogue in dialogues:
        for start, end in dialogue.turns:
            trained = [place for place in range(start, end) if dialogue.mask[place]]
            if trained:
                history = dialogue.ids[: trained[0]]
                kept = history if max_history is None else history[-max_history:]
                reply = [dialogue.ids[place] for place in trained]
                pairs.append(Pair(kept, reply, dialogue.dialogue_id))
    return pairs


def shift_right(labels: torch.Tensor, pad_id: int, start_id: int) -> torch.Tensor:
    """(B, S) labels -> (B, S) decoder input: a start token, then the labels but the last.

    What is not trained (-100) becomes padding. Equal to `shift_tokens_right` of `transformers`.
    """
    moved = labels.roll(1, dims=1)
    moved[:, 0] = start_id
    return moved.masked_fill(moved == IGNORE, pad_id)


def seq2seq_batch(pairs: Sequence[Pair], pad_id: int, start_id: int) -> Batch:
    """A batch as encoder-decoders of `transformers` take it, filled on the right.

    `input_ids` and `attention_mask` (B, T) are the histories, `labels` (B, S) the replies, and
    `decoder_input_ids` (B, S) the labels moved one to the right.
    """
    labels = _filled([pair.reply for pair in pairs], IGNORE)
    return {
        "input_ids": _filled([pair.history for pair in pairs], pad_id),
        "attention_mask": _filled([[1] * len(pair.history) for pair in pairs], 0),
        "decoder_input_ids": shift_right(labels, pad_id, start_id),
        "labels": labels,
    }


def _filled(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


@dataclass(frozen=True, slots=True)
class ReplyPairs:
    """Training data for `train`: `epoch(n)` yields batches in an order that only seed and n decide.

    Pairs of like length share a batch, and the batches come in random order.
    """

    pairs: Sequence[Pair]
    pad_id: int
    start_id: int
    pairs_per_batch: int = 32
    seed: int = 0

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.pairs_per_batch)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the `start`-th on."""
        rng = random.Random(f"{self.seed}/{number}")
        order = rng.sample(list(self.pairs), len(self.pairs))
        group = _GROUP * self.pairs_per_batch
        batches = []
        for first in range(0, len(order), group):
            alike = sorted(order[first : first + group], key=_length)
            batches += list(_split(alike, self.pairs_per_batch))
        rng.shuffle(batches)
        for pairs in batches[start:]:
            yield seq2seq_batch(pairs, self.pad_id, self.start_id)


def _length(pair: Pair) -> int:
    return len(pair.history) + len(pair.reply)


def _split(pairs: Sequence[Pair], size: int) -> Iterator[Sequence[Pair]]:
    for first in range(0, len(pairs), size):
        yield pairs[first : first + size]


def small_encoder_decoder(tokenizer: Any, layers: int = 3, seed: int = 0) -> Any:
    """BART's architecture in the width of the base model, with random weights drawn from `seed`.

    `layers` in the encoder and as many in the decoder; the token embeddings of encoder, decoder
    and output layer are one. The decoder starts with `<|assistant|>`.
    """
    from transformers import AutoConfig, BartConfig, BartForConditionalGeneration

    base = AutoConfig.from_pretrained(base_model_name())
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=base.hidden_size,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=base.num_attention_heads,
        decoder_attention_heads=base.num_attention_heads,
        encoder_ffn_dim=4 * base.hidden_size,
        decoder_ffn_dim=4 * base.hidden_size,
        max_position_embeddings=base.max_position_embeddings,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=start_id(tokenizer),
        forced_eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BartForConditionalGeneration(config)
    return without_dropout(model).eval()


def start_id(tokenizer: Any) -> int:
    """The token that the decoder starts with: the one that calls for the assistant's reply."""
    return int(tokenizer.convert_tokens_to_ids(ROLE_TOKENS["assistant"]))


@torch.no_grad()
def pair_loss(
    model: Any, pairs: Sequence[Pair], pad_id: int, start_id: int, pairs_per_batch: int = 32
) -> float:
    """Loss on held-out replies, in nats per trained token, summed over all before the division."""
    model.eval()
    ordered = _split(sorted(pairs, key=_length), pairs_per_batch)
    batches = [seq2seq_batch(some, pad_id, start_id) for some in ordered]
    count = sum(map(count_trained, batches))
    on_device = ({k: v.to(model.device) for k, v in batch.items()} for batch in batches)
    return sum(lm_loss(model, batch, num_tokens=count).item() for batch in on_device)


@torch.no_grad()
def seq2seq_replies(
    model: Any,
    tokenizer: Any,
    histories: Sequence[Sequence[dict[str, Any]]],
    max_new_tokens: int = 64,
) -> list[str]:
    """Greedy replies to histories of messages; the encoder reads the prompt of `chat_format`."""
    model.eval()
    prompts = [prompt_ids(history, tokenizer) for history in histories]
    ids = _filled(prompts, tokenizer.pad_token_id).to(model.device)
    mask = _filled([[1] * len(prompt) for prompt in prompts], 0).to(model.device)
    out = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=max_new_tokens, **PLAIN_GREEDY
    )
    replies: list[str] = tokenizer.batch_decode(out, skip_special_tokens=True)
    return replies
