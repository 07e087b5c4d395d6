"""Replies: batched for evaluation, streamed for a chat; the prompt comes from `chat_format`.

Both stop at `<|end|>`, both take greedy choices unless a temperature is set, and both give the
text that `model.generate` gives under greedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from course_lib.chat_format import prompt_ids

History = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. `temperature` 0 takes the likeliest; `top_p` 1 cuts nothing."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature must be at least 0, and top_p above 0 and at most 1")


GREEDY = Sampling()


def fitting_prompt(messages: History, tokenizer: Any, limit: int) -> list[int]:
    """Prompt ids of at most `limit` tokens: the oldest turns go first, then the text's left end."""
    ids = prompt_ids(messages, tokenizer)
    kept = list(messages)
    while len(ids) > limit and len(kept) > 1:
        kept.pop(0)
        ids = prompt_ids(kept, tokenizer)
    return ids[-limit:]


def context_length(model: Any) -> int:
    """Number of positions the model knows."""
    return int(model.config.max_position_embeddings)


def _room(model: Any, max_new_tokens: int) -> int:
    limit = context_length(model) - max_new_tokens
    if limit < 1:
        raise ValueError(
            f"max_new_tokens={max_new_tokens} leaves no room for a prompt: the model knows "
            f"{context_length(model)} positions"
        )
    return limit


@torch.no_grad()
def generate(
    model: Any,
    tokenizer: Any,
    histories: Sequence[History],
    max_new_tokens: int = 64,
    batch_size: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> list[str]:
    """Greedy replies to many histories, in their order; `on_batch(n)` is told n more are done."""
    model.eval()
    limit = _room(model, max_new_tokens)
    prompts = [fitting_prompt(history, tokenizer, limit) for history in histories]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # little padding
    replies = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        ids = _greedy_batch(model, tokenizer, [prompts[i] for i in chosen], max_new_tokens)
        for i, reply in zip(chosen, tokenizer.batch_decode(ids), strict=True):
            replies[i] = reply
        if on_batch:
            on_batch(len(chosen))
    return replies


def _left_padded(prompts: Sequence[list[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) ids and (B, T) mask, prompts flush right so that every row continues at its end."""
    width = max(len(prompt) for prompt in prompts)
    ids = [[pad_id] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)


def _greedy_batch(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], max_new_tokens: int
) -> list[list[int]]:
    ids, mask = (t.to(model.device) for t in _left_padded(prompts, tokenizer.pad_token_id))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    replies: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))  # rows still in the batch, by prompt number
    cache = None
    for _ in range(max_new_tokens):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache, tokens = output.past_key_values, output.logits[:, -1].argmax(-1)
        alive = tokens != tokenizer.eos_token_id
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if token != tokenizer.eos_token_id:
                replies[row].append(token)
        if not alive.any():
            break
        if not alive.all():  # finished rows leave the batch
            keep = alive.nonzero().squeeze(1)
            rows = [rows[i] for i in keep.tolist()]
            cache.batch_select_indices(keep)
            tokens, mask, positions = tokens[keep], mask[keep], positions[keep]
        ids, positions = tokens[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
    return replies


@torch.no_grad()
def stream(
    model: Any,
    tokenizer: Any,
    messages: History,
    max_new_tokens: int = 128,
    sampling: Sampling = GREEDY,
) -> Iterator[str]:
    """One reply in pieces of text as they come; the pieces joined are the whole reply."""
    model.eval()
    generator = torch.Generator(device=model.device).manual_seed(sampling.seed)
    prompt = fitting_prompt(messages, tokenizer, _room(model, max_new_tokens))
    ids = torch.tensor([prompt], device=model.device)
    reply: list[int] = []
    shown, cache = "", None
    for _ in range(max_new_tokens):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        token = _choose(output.logits[0, -1], sampling, generator)
        if token == tokenizer.eos_token_id:
            break
        reply.append(token)
        ids = torch.tensor([[token]], device=model.device)
        text = tokenizer.decode(reply)
        if not text.endswith("\ufffd"):  # half a character: wait for its other bytes
            yield text[len(shown) :]
            shown = text
    rest = tokenizer.decode(reply)[len(shown) :]
    if rest:
        yield rest


def _choose(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """(V,) logits -> the next token's id."""
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    if sampling.temperature == 0:
        return int(logits.argmax())
    scores = TemperatureLogitsWarper(sampling.temperature)(None, logits.float()[None])
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    return int(torch.multinomial(scores.softmax(-1), 1, generator=generator))
