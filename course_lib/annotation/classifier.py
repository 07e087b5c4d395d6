"""Fine-tuned classifiers: intents and spans by a body that reads and a linear head.

The body is any `transformers` model without its head: our base (`model.base_model`), another
decoder, or an encoder. It is given, not loaded: this stage stands before `models`. Rows are padded
on the right, so a decoder's vector of the last token is taken at each row's own end.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.annotation.spans import from_bio, tag_names, to_bio, tokens_of
from course_lib.dialogue import Entity

IGNORE = -100
ROWS = 64  # texts read at a time when nothing is learned
GROUP = 4  # batches that share out their texts by length

Example = tuple[str, Any]
Record = dict[str, float]
Model = TypeVar("Model", "IntentClassifier", "Tagger")


class _Reader(torch.nn.Module):
    """A body, its tokenizer and a head of one output per label."""

    def __init__(
        self, body: Any, tokenizer: Any, labels: Sequence[str], longest: int, seed: int
    ) -> None:
        super().__init__()
        if len(set(labels)) != len(labels) or not labels:
            raise ValueError(f"{len(labels)} labels, {len(set(labels))} different: name each once")
        self.body, self.tokenizer, self.labels = body, tokenizer, list(labels)
        known = getattr(body.config, "max_position_embeddings", longest)
        self.longest = min(longest, known)
        self.number = {label: i for i, label in enumerate(self.labels)}
        self.start = _start_id(tokenizer)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.head = torch.nn.Linear(body.config.hidden_size, len(self.labels))
        self.head.to(body.device)

    @property
    def classes_(self) -> np.ndarray:
        """The labels in the order of the outputs, by scikit-learn's name."""
        return np.array(self.labels)

    def read(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of ids -> (B, T, H) vectors and (B, T) mask, on the body's device."""
        ids, mask = _padded([[self.start, *row][: self.longest] for row in rows], self.start)
        ids, mask = ids.to(self.body.device), mask.to(self.body.device)
        return self.body(input_ids=ids, attention_mask=mask).last_hidden_state, mask

    def _in_batches(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Numbers of texts, a batch at a time, of like length: less padding."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for at in range(0, len(order), ROWS):
            yield order[at : at + ROWS]


def _start_id(tokenizer: Any) -> int:
    """What stands before a text, so that an empty one has a token too; also fills short rows."""
    for name in ("bos_token_id", "cls_token_id", "eos_token_id"):
        token = getattr(tokenizer, name, None)
        if token is not None:
            return int(token)
    raise ValueError("the tokenizer has no token to start with: neither BOS nor CLS nor EOS")


def _padded(rows: Sequence[Sequence[int]], fill: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) ids, filled up on the right, and (B, T) mask."""
    width = max(len(row) for row in rows)
    ids = [[*row, *[fill] * (width - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


class IntentClassifier(_Reader):
    """Names one of `labels` for a text, of which it reads the first `longest` tokens.

    `causal` bodies (decoders) give the vector of the last token, which alone has seen the whole
    text; others (encoders) that of the first.
    """

    def __init__(
        self,
        body: Any,
        tokenizer: Any,
        labels: Sequence[str],
        causal: bool,
        seed: int = 0,
        longest: int = 64,
    ) -> None:
        super().__init__(body, tokenizer, labels, longest, seed)
        self.causal = causal

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, labels) logits."""
        rows = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        hidden, mask = self.read(rows)
        place = mask.sum(1) - 1 if self.causal else torch.zeros_like(mask[:, 0])
        return self.head(hidden[torch.arange(len(rows), device=place.device), place])

    def loss(self, examples: Sequence[Example]) -> torch.Tensor:
        """Mean cross-entropy of (text, intent) pairs."""
        wanted = torch.tensor([self.number[intent] for _, intent in examples])
        logits = self([text for text, _ in examples])
        return F.cross_entropy(logits.float(), wanted.to(logits.device))

    @torch.no_grad()
    def predict_proba(self, texts: Iterable[str]) -> np.ndarray:
        """(N, labels) probabilities."""
        self.eval()
        texts = list(texts)
        found = np.zeros((len(texts), len(self.labels)))
        for batch in self._in_batches(texts):
            logits = self([texts[i] for i in batch])
            found[batch] = logits.float().softmax(-1).cpu().numpy()
        return found

    def predict(self, texts: Iterable[str]) -> list[str]:
        """The likeliest label of each text."""
        return [self.labels[i] for i in self.predict_proba(texts).argmax(1).tolist()]


class Tagger(_Reader):
    """Finds spans by a BIO tag for each token; a decoder's tags see only what stands before.

    Texts longer than the body can read keep no tags beyond its end.
    """

    def __init__(
        self, body: Any, tokenizer: Any, slots: Sequence[str], seed: int = 0, longest: int = 512
    ) -> None:
        super().__init__(body, tokenizer, tag_names(slots), longest, seed)

    def loss(self, examples: Sequence[Example]) -> torch.Tensor:
        """Mean cross-entropy of all tokens' tags of (text, spans) pairs."""
        tokens = tokens_of([text for text, _ in examples], self.tokenizer)
        logits = self.head(self.read([ids for ids, _ in tokens])[0])
        gold = torch.full(logits.shape[:2], IGNORE)
        for row, ((_, entities), (_, ranges)) in enumerate(zip(examples, tokens, strict=True)):
            tags = to_bio(entities, ranges)[0][: self.longest - 1]
            numbers = [self.number[tag] for tag in tags]
            gold[row, 1 : len(tags) + 1] = torch.tensor(numbers, dtype=torch.long)
        return F.cross_entropy(
            logits.float().flatten(0, 1), gold.flatten().to(logits.device), ignore_index=IGNORE
        )

    @torch.no_grad()
    def predict(self, texts: Iterable[str]) -> list[list[Entity]]:
        """The spans of each text, as `spans.from_bio` reads the likeliest tags."""
        self.eval()
        texts = list(texts)
        found: list[list[Entity]] = [[] for _ in texts]
        for batch in self._in_batches(texts):
            tokens = tokens_of([texts[i] for i in batch], self.tokenizer)
            best = self.head(self.read([ids for ids, _ in tokens])[0]).argmax(-1).tolist()
            for i, row, (_, ranges) in zip(batch, best, tokens, strict=True):
                tags = [self.labels[n] for n in row[1 : len(ranges) + 1]]
                found[i] = from_bio(tags, ranges[: len(tags)], texts[i])
        return found


def fit(
    model: Model,
    examples: Sequence[Example],
    steps: int = 200,
    rows: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
    autocast: AbstractContextManager[Any] | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> Model:
    """Trains body and head on (text, label) pairs, shuffled anew each epoch; returns the model.

    The learning rate rises over a tenth of the steps and then falls to 0 along a line. `autocast`
    is the context of the forward pass (say bf16); `on_record` gets the step, its loss, learning
    rate and gradient norm, as `plots.LivePlot` takes them. Raises RuntimeError when the loss is no
    number.
    """
    if not examples:
        raise ValueError("no examples to learn from; check the labels and the split")
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: _slope(n, steps))
    batches = _batches(examples, rows, seed)
    model.train()
    with torch.random.fork_rng():  # dropout, where a body has any
        torch.manual_seed(seed)
        for step in range(1, steps + 1):
            with autocast or nullcontext():
                loss = model.loss(next(batches))
            record = _learn(model, loss, optimizer, step)
            schedule.step()
            if on_record:
                on_record(record)
    return model.eval()


def _learn(model: torch.nn.Module, loss: Any, optimizer: Any, step: int) -> Record:
    value = loss.item()
    if not math.isfinite(value):
        raise RuntimeError(f"step {step}: the loss is {value}; lower the learning rate")
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    rate = optimizer.param_groups[0]["lr"]
    return {"step": step, "loss": value, "lr": rate, "grad_norm": float(norm)}


def _slope(step: int, steps: int) -> float:
    warmup = max(1, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def _batches(examples: Sequence[Example], rows: int, seed: int) -> Iterator[list[Example]]:
    """Endless batches, each example once an epoch; a batch holds texts of like length.

    Groups of a few batches are drawn at random and sorted within, which halves the padding and
    still mixes the labels.
    """
    rng = random.Random(seed)
    order = list(examples)
    while True:
        rng.shuffle(order)
        batches = []
        for at in range(0, len(order), GROUP * rows):
            group = sorted(order[at : at + GROUP * rows], key=lambda pair: len(pair[0]))
            batches += [group[start : start + rows] for start in range(0, len(group), rows)]
        rng.shuffle(batches)
        yield from batches


def small_encoder(tokenizer: Any, like: Any = None, seed: int = 0) -> Any:
    """BERT's architecture with random weights, and no dropout, over our tokenizer.

    Width, depth and positions are those of the configuration `like` (of our base, say); without one
    192 wide and 4 deep, for 128 positions.
    """
    from transformers import BertConfig, BertModel

    width = like.hidden_size if like is not None else 192
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=like.num_hidden_layers if like is not None else 4,
        num_attention_heads=like.num_attention_heads if like is not None else 3,
        intermediate_size=4 * width,
        max_position_embeddings=like.max_position_embeddings if like is not None else 128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertModel(config, add_pooling_layer=False).eval()
