"""Replies: batched for evaluation, streamed for a chat; the prompt comes from `chat_format`.

Both stop at the tokenizer's end token, both take greedy choices unless a temperature is set, and
both give the text that `model.generate` gives under greedy. What makes the batches fast: histories
of like length go together, rows that have ended leave and others take their places, the cache is
written in place, and only the last position's logits are formed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
import torch

from course_lib.chat_format import all_prompt_ids, prompt_ids
from course_lib.decoding import Rows

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

# What makes `model.generate` greedy. What it is not told it takes from the `generation_config` that
# comes with the model: BART's, for one, asks for four beams and for no group of words twice.
PLAIN_GREEDY: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
}


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
    return _fitted(prompt_ids(messages, tokenizer), messages, tokenizer, limit)


def _fitted(ids: list[int], messages: History, tokenizer: Any, limit: int) -> list[int]:
    """`fitting_prompt` of messages whose ids are known."""
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

    At most `batch_size` rows are under way at once. A drawn reply depends on the seed and on its
    place among the histories, not on the batch. A reply also ends before the first of the
    `stop_texts`.
    """
    model.eval()
    limit = _room(model, max_new_tokens)
    prompts = [
        _fitted(ids, history, tokenizer, limit)
        for ids, history in zip(all_prompt_ids(histories, tokenizer), histories, strict=True)
    ]
    drafts = [_Draft(tokenizer, max_new_tokens, stop_texts) for _ in prompts]
    told = 0
    for pairs in _steps(model, tokenizer, prompts, max_new_tokens, batch_size, sampling, drafts):
        told += sum(drafts[row].over for row, _ in pairs)
        if on_batch and (told >= batch_size or len(pairs) == told):
            on_batch(told)
            told = 0
    if on_batch and told:
        on_batch(told)
    texts = tokenizer.batch_decode([draft.tokens for draft in drafts]) if drafts else []
    return [draft.reply(text) for draft, text in zip(drafts, texts, strict=True)]


class _Draft:
    """A reply while it grows."""

    def __init__(self, tokenizer: Any, most: int, stop_texts: Sequence[str] = ()) -> None:
        self._tokenizer, self._most, self._stop_texts = tokenizer, most, stop_texts
        self.tokens: list[int] = []
        self.stopped = False

    @property
    def over(self) -> bool:
        return self.stopped or len(self.tokens) >= self._most

    def add(self, token: int) -> bool:
        """Takes one more token; whether the reply is over."""
        if token == self._tokenizer.eos_token_id:
            self.stopped = True
        else:
            self.tokens.append(token)
            if self._stop_texts:
                self.stopped = _cut(self._tokenizer.decode(self.tokens), self._stop_texts)[1]
        return self.over

    def reply(self, text: str) -> Reply:
        return Reply(_cut(text, self._stop_texts)[0], self.tokens, self.stopped)


def _cut(text: str, stop_texts: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop text, and whether there was one."""
    places = [place for stop in stop_texts if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def _steps(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    batch_size: int,
    sampling: Sampling,
    drafts: Sequence[_Draft],
) -> Iterator[list[tuple[int, int]]]:
    """Adds a token to the drafts under way; yields (number, token) of each, step by step."""
    waiting = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))  # the shortest last
    longest = len(prompts[waiting[0]]) if waiting else 0
    # a row that joins late may run as long again as those that it joined
    rows = Rows(model, tokenizer.pad_token_id, batch_size, longest + 2 * max_new_tokens)
    choice = _Choice(prompts, sampling, max_new_tokens)
    logits = torch.empty(0)
    while waiting or rows.numbers:
        if waiting and (places := rows.places()):
            new = [waiting.pop() for _ in range(min(places, len(waiting)))]
            under_way = len(rows.numbers)
            read = rows.join(new, [prompts[i] for i in new])
            logits = torch.cat([logits, read]) if under_way else read
        tokens = choice(logits, rows.numbers)
        pairs = list(zip(rows.numbers, tokens.tolist(), strict=True))
        alive = [not drafts[row].add(token) for row, token in pairs]
        yield pairs
        if not all(alive):
            tokens = tokens[rows.keep(alive)]
        if rows.numbers:
            logits = rows.step(tokens)


class _Choice:
    """Chooses the next tokens of rows; each row has draws of its own, whatever its neighbours."""

    def __init__(
        self, prompts: Sequence[list[int]], sampling: Sampling, max_new_tokens: int
    ) -> None:
        self.sampling = sampling
        self._seen = [list(prompt) for prompt in prompts]
        self._step = [0] * len(prompts)
        self._warp = warpers(sampling)
        self._draws = [
            np.random.default_rng((sampling.seed, number)).random(max_new_tokens)
            for number in range(len(prompts) if sampling.temperature else 0)
        ]

    def __call__(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """(B, V) logits -> (B,) tokens."""
        scores = logits
        if self._warp:
            scores = self._warp(self._histories(rows).to(logits.device), logits.float())
        tokens = scores.argmax(-1) if not self.sampling.temperature else self._drawn(scores, rows)
        if self.sampling.repetition_penalty != 1:
            for row, token in zip(rows, tokens.tolist(), strict=True):
                self._seen[row].append(token)
        return tokens

    def _drawn(self, scores: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        draws = np.asarray([self._draws[row][self._step[row]] for row in rows], dtype=np.float32)
        for row in rows:
            self._step[row] += 1
        return drawn(scores.float().softmax(-1), torch.from_numpy(draws).to(scores.device))

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
    draft = _Draft(tokenizer, max_new_tokens)
    shown = ""
    for _ in _steps(model, tokenizer, [prompt], max_new_tokens, 1, sampling, [draft]):
        text = tokenizer.decode(draft.tokens)
        if len(text) > len(shown) and not text.endswith("\ufffd"):  # wait for a whole character
            yield text[len(shown) :]
            shown = text
        if stop and stop():
            return
    rest = tokenizer.decode(draft.tokens)[len(shown) :]
    if rest:
        yield rest
