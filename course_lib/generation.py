"""Replies: batched for evaluation, streamed for a chat; the prompt comes from `chat_format`.

Both stop at the tokenizer's end token, both take greedy choices unless a temperature is set, and
both give the text that `model.generate` gives under greedy. What makes the batches fast: histories
of like length go together, rows that have ended leave, the cache is written in place, and
only the last position's logits are formed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
import torch

from course_lib.cache import keep_rows, roomy_cache
from course_lib.chat_format import prompt_ids

History = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn; the default takes the likeliest.

    `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 cut nothing; `repetition_penalty` 1 is none,
    above 1 it makes tokens of the history and the reply less likely (Keskar et al., 2019). They
    work in `model.generate`'s order: penalty, temperature, top-k, top-p.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature must be at least 0, and top_p above 0 and at most 1")
        if self.top_k < 0 or self.seed < 0 or not self.repetition_penalty > 0:
            raise ValueError("top_k and seed must be at least 0, and repetition_penalty above 0")


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: its text, its tokens without the end token, and whether it ended by itself.

    `stopped` is False where the room ran out first.
    """

    text: str
    tokens: list[int] = field(repr=False)
    stopped: bool


def fitting_prompt(messages: History, tokenizer: Any, limit: int) -> list[int]:
    """Prompt ids of at most `limit` tokens: the oldest turns go first, then the text's left end.

    What stands before the text (the start token, the role) stays where there is room for it.
    """
    ids = prompt_ids(messages, tokenizer)
    kept = list(messages)
    while len(ids) > limit and len(kept) > 1:
        kept.pop(0)
        ids = prompt_ids(kept, tokenizer)
    if len(ids) <= limit:
        return ids
    head = _head(ids, kept[0], tokenizer)[: limit - 1]
    return head + ids[len(ids) - limit + len(head) :]


def _head(ids: list[int], message: dict[str, Any], tokenizer: Any) -> list[int]:
    """The ids that any text of this role has before it: those that another text shares."""
    other = {**message, "content": "1" if message["content"].startswith("0") else "0"}
    pairs = zip(ids, prompt_ids([other], tokenizer), strict=False)
    return [token for token, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]


def context_length(model: Any) -> int:
    """Number of positions the model knows."""
    return int(model.config.max_position_embeddings)


def _room(model: Any, max_new_tokens: int) -> int:
    limit = context_length(model) - max_new_tokens
    if max_new_tokens < 1 or limit < 1:
        raise ValueError(
            f"max_new_tokens={max_new_tokens} leaves no room for a prompt or a reply: the model "
            f"knows {context_length(model)} positions"
        )
    return limit


def generate(
    model: Any,
    tokenizer: Any,
    histories: Sequence[History],
    max_new_tokens: int = 64,
    batch_size: int = 64,
    on_batch: Callable[[int], None] | None = None,
    sampling: Sampling = GREEDY,
    stop_texts: Sequence[str] = (),
) -> list[str]:
    """The texts of replies to many histories; `generate_replies` gives more."""
    replies = generate_replies(
        model, tokenizer, histories, max_new_tokens, batch_size, on_batch, sampling, stop_texts
    )
    return [reply.text for reply in replies]


@torch.inference_mode()
def generate_replies(
    model: Any,
    tokenizer: Any,
    histories: Sequence[History],
    max_new_tokens: int = 64,
    batch_size: int = 64,
    on_batch: Callable[[int], None] | None = None,
    sampling: Sampling = GREEDY,
    stop_texts: Sequence[str] = (),
) -> list[Reply]:
    """Replies to many histories, in their order; `on_batch(n)` is told n more are done.

    A drawn reply depends on the seed and on its place among the histories, not on the batch. A
    reply also ends before the first of the `stop_texts`.
    """
    model.eval()
    limit = _room(model, max_new_tokens)
    prompts = [fitting_prompt(history, tokenizer, limit) for history in histories]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # little padding
    replies: dict[int, Reply] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        choice = _Choice([prompts[i] for i in chosen], chosen, sampling, max_new_tokens)
        found = _batch(model, tokenizer, choice, max_new_tokens, stop_texts)
        replies.update(zip(chosen, found, strict=True))
        if on_batch:
            on_batch(len(chosen))
    return [replies[i] for i in range(len(prompts))]


def _batch(
    model: Any, tokenizer: Any, choice: _Choice, max_new_tokens: int, stop_texts: Sequence[str]
) -> list[Reply]:
    tokens: list[list[int]] = [[] for _ in choice.prompts]
    ended: set[int] = set()

    def over(row: int, token: int) -> bool:
        if token == tokenizer.eos_token_id:
            ended.add(row)
        else:
            tokens[row].append(token)
            if stop_texts and _cut(tokenizer.decode(tokens[row]), stop_texts)[1]:
                ended.add(row)
        return row in ended

    for _ in _steps(model, tokenizer.pad_token_id, choice, max_new_tokens, over):
        pass
    texts = [_cut(text, stop_texts)[0] for text in tokenizer.batch_decode(tokens)]
    return [
        Reply(text, ids, i in ended)
        for i, (text, ids) in enumerate(zip(texts, tokens, strict=True))
    ]


def _cut(text: str, stop_texts: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop text, and whether there was one."""
    places = [place for stop in stop_texts if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def _left_padded(prompts: Sequence[list[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) ids and (B, T) mask, prompts flush right so that every row continues at its end."""
    width = max(len(prompt) for prompt in prompts)
    ids = [[pad_id] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)


def _steps(
    model: Any,
    pad_id: int,
    choice: _Choice,
    max_new_tokens: int,
    over: Callable[[int, int], bool],
) -> Iterator[list[tuple[int, int]]]:
    """At each step the (row, token) pairs of the rows that go on; those that are `over` leave."""
    ids, mask = (t.to(model.device) for t in _left_padded(choice.prompts, pad_id))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    width = ids.shape[1]
    mask = torch.cat([mask, mask.new_ones(len(mask), max_new_tokens)], dim=1)
    cache = roomy_cache(model, width + max_new_tokens)
    rows = list(range(len(ids)))
    for step in range(max_new_tokens):
        output = model(
            input_ids=ids,
            attention_mask=mask[:, : width + step],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        tokens = choice(output.logits[:, -1], rows, step)
        found = list(zip(rows, tokens.tolist(), strict=True))
        alive = [not over(row, token) for row, token in found]
        yield found
        if not any(alive):
            return
        if not all(alive):  # finished rows leave the batch
            order = keep_rows(cache, alive)
            rows = [rows[i] for i in order]
            tokens, mask, positions = tokens[order], mask[order], positions[order]
        ids, positions = tokens[:, None], positions[:, -1:] + 1


class _Choice:
    """Chooses the next tokens of a batch of prompts; `numbers` are their places in the whole."""

    def __init__(
        self,
        prompts: Sequence[list[int]],
        numbers: Sequence[int],
        sampling: Sampling,
        max_new_tokens: int,
    ) -> None:
        self.prompts, self.sampling = prompts, sampling
        self._draws = (
            [np.random.default_rng((sampling.seed, n)).random(max_new_tokens) for n in numbers]
            if sampling.temperature
            else []
        )
        self._seen = [list(prompt) for prompt in prompts]
        self._warp = warpers(sampling)

    def __call__(self, logits: torch.Tensor, rows: Sequence[int], step: int) -> torch.Tensor:
        """(B, V) logits -> (B,) tokens."""
        scores = logits
        if self._warp:
            scores = self._warp(self._histories(rows).to(logits.device), logits.float())
        if not self.sampling.temperature:
            tokens = scores.argmax(-1)
        else:
            draws = np.asarray([self._draws[row][step] for row in rows])
            tokens = drawn(scores.softmax(-1), torch.from_numpy(draws))
        if self.sampling.repetition_penalty != 1:
            for row, token in zip(rows, tokens.tolist(), strict=True):
                self._seen[row].append(token)
        return tokens

    def _histories(self, rows: Sequence[int]) -> torch.Tensor:
        """(B, T) all tokens so far; a shorter row repeats its first, which changes no penalty."""
        if self.sampling.repetition_penalty == 1:
            return torch.empty(len(rows), 0, dtype=torch.long)
        seen = [self._seen[row] for row in rows]
        width = max(len(ids) for ids in seen)
        return torch.tensor([[ids[0]] * (width - len(ids)) + ids for ids in seen])


def warpers(sampling: Sampling) -> Any:
    """`transformers`' own processors in the order of `model.generate`; an empty list for greedy.

    Called with (B, T) ids so far and (B, V) scores; gives (B, V) scores.
    """
    from transformers import (
        LogitsProcessorList,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    found = LogitsProcessorList()
    if sampling.repetition_penalty != 1:
        found.append(RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty)))
    if sampling.temperature == 0:  # the likeliest token stays the likeliest
        return found
    if sampling.temperature != 1:
        found.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        found.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        found.append(TopPLogitsWarper(sampling.top_p))
    return found


def drawn(probabilities: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """(B, V) probabilities and (B,) numbers in [0, 1) -> (B,) tokens: where the sum passes them."""
    sums = probabilities.cumsum(-1)
    draws = draws.clamp(max=1 - 1e-6).to(sums)  # below the last sum, whatever the rounding
    return torch.searchsorted(sums, draws[:, None] * sums[:, -1:], right=True).squeeze(1)


@torch.inference_mode()
def stream(
    model: Any,
    tokenizer: Any,
    messages: History,
    max_new_tokens: int = 128,
    sampling: Sampling = GREEDY,
    stop: Callable[[], bool] | None = None,
) -> Iterator[str]:
    """One reply in pieces of text as they come; the pieces joined are the whole reply.

    `stop()` is asked after each token; once it is true the reply ends where it is.
    """
    model.eval()
    prompt = fitting_prompt(messages, tokenizer, _room(model, max_new_tokens))
    choice = _Choice([prompt], [0], sampling, max_new_tokens)
    end = tokenizer.eos_token_id
    reply: list[int] = []
    shown = ""
    for [(_, token)] in _steps(
        model, tokenizer.pad_token_id, choice, max_new_tokens, lambda _, token: token == end
    ):
        if token == end:
            break
        reply.append(token)
        text = tokenizer.decode(reply)
        if not text.endswith("\ufffd"):  # half a character: wait for its other bytes
            yield text[len(shown) :]
            shown = text
        if stop and stop():
            return
    rest = tokenizer.decode(reply)[len(shown) :]
    if rest:
        yield rest
