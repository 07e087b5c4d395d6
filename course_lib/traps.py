"""Eleven silent failures, each reproduced in seconds beside one healthy run, and measured.

`TRAPS` says of each what the right line is, what the wrong one, what one sees, and which test of
this repository catches it. A `Lab` trains the healthy model and the broken ones from the same start
and on the same dialogues; `damage(lab, name, seed)` gives the figure that shows the harm.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from course_lib.batching import (
    IGNORE,
    Batch,
    PaddedDialogues,
    collate_packed,
    pack,
    pad_batch,
    truncate_all,
)
from course_lib.chat_format import Encoded, assert_trained, encode_all, known_tokens, prompt_ids
from course_lib.cleaning import remove_leaks
from course_lib.dialogue import Dialogue, read_dialogues
from course_lib.generation import PLAIN_GREEDY
from course_lib.journey import SHOP
from course_lib.losses import lm_loss, trained_logits
from course_lib.metrics import FactQuestion, fact_questions, held_out_loss, states_fact
from course_lib.skew import behind_prompts, per_token, reply_losses
from course_lib.training import History, Record, TrainConfig, train
from course_lib.transfer import new_model
from course_lib.tricks import gradient, relative_distance

HEALTHY = "healthy"
STEPS, TOKENS_PER_BATCH, LONGEST = 80, 768, 128
LEARNED, TESTED, ASKED = 800, 120, 40  # dialogues to learn from and to test on, questions asked
SHORT = 40  # the limit of the run whose answers are cut
LEFT_BESIDE_LEAK = 300  # with so many clean dialogues, the leaked ones come round twice
NEW_TOKENS = 40  # a reply that has not ended by then counts as one that does not stop
MICRO_BATCHES = 12
DRAWS = 8  # of them, for the mean error of a gradient


@dataclass(frozen=True, slots=True)
class Trap:
    """One silent failure: the line that is right, the wrong one, and how it is found.

    An empty `wrong` says that the right line was forgotten, not replaced.
    `measure` names the figure that shows the damage, `test` the test that catches it, as pytest
    writes it. `higher` says whether the figure rises with the damage.
    """

    right: str
    wrong: str
    looks: str
    measure: str
    test: str
    higher: bool = True


TRAPS: dict[str, Trap] = {
    "mask dropped": Trap(
        "labels = [t if m else -100 for t, m in zip(ids, mask)]",
        "labels = list(ids)",
        "a smooth curve; replies of about the usual kind",
        "held-out loss (nats per reply token)",
        "tests/test_batching.py::test_a_broken_mask_is_noticed",
    ),
    "mask off by one": Trap(
        "mask = [False] * len(prompt) + [True] * len(reply)",
        "mask = [False] * (len(prompt) + 1) + [True] * len(reply)",
        "the same curve, even a little lower; replies begin oddly",
        "loss on the first token of a reply (nats)",
        "tests/test_chat_format.py::test_broken_mask_is_caught",
    ),
    "end token outside the loss": Trap(
        "trained = reply_ids + [end_id]",
        "trained = reply_ids",
        "the same curve; replies that go on until they are cut",
        "share of replies that stop by themselves",
        "tests/test_chat_format.py::test_broken_mask_is_caught_in_real_batches",
        higher=False,
    ),
    "pad = EOS": Trap(
        "labels = ids.masked_fill(~trained, -100)",
        "labels = ids.masked_fill(ids == tokenizer.pad_token_id, -100)",
        "the same curve; replies that go on until they are cut",
        "share of replies that stop by themselves",
        "tests/test_batching.py::test_padding_is_never_trained_even_as_end_token",
        higher=False,
    ),
    "truncated answers": Trap(
        'rows, report = truncate_all(rows, limit, "windows")',
        "rows = [row[:limit] for row in rows]",
        "a smooth curve, and faster steps",
        "held-out loss (nats per reply token)",
        "tests/test_truncation.py::test_these_never_cut_an_answer",
    ),
    "all-masked batch": Trap(
        "rows = [row for row in rows if any(row.mask[1:])]",
        "",
        "a gap in the curve, or none where the log leaves NaN out",
        "share of the weights that are no number after one step",
        "tests/test_losses.py::test_a_batch_without_trained_tokens_is_an_error_not_nan",
    ),
    "mean of means": Trap(
        "loss = losses.sum() / tokens_of_the_step",
        "loss = losses.mean() / accumulation_steps",
        "nothing: a curve like any other",
        "error of the gradient, as a share of its length",
        "tests/test_losses.py::test_a_mean_of_means_would_not_be",
    ),
    "packing leakage": Trap(
        "may_look = causal & (owner[:, None] == owner[None, :])",
        "may_look = causal",
        "nothing: a curve like any other",
        "held-out loss of packed rows (nats per reply token)",
        "tests/test_batching.py::test_a_neighbour_in_the_row_is_never_seen",
    ),
    "template skew": Trap(
        "prompt = prompt_ids(messages, tokenizer)",
        'prompt = tokenizer(f"<|user|> {text}<|end|><|assistant|> ")["input_ids"]',
        "a perfect training; worse replies in the chat",
        "held-out loss behind that prompt (nats per reply token)",
        "tests/test_chat_format.py::test_prompt_is_a_prefix_of_the_training_rendering",
    ),
    "test leak": Trap(
        "train, leaks = remove_leaks(train, test)",
        "train = everything_we_have",
        "the best test result so far",
        "gain on leaked test dialogues beyond the gain on clean ones (nats)",
        "tests/cleaning/test_cleaning.py::test_leaks_are_removed_from_the_training_set",
    ),
    "right padding at generation": Trap(
        'tokenizer.padding_side = "left"',
        'tokenizer.padding_side = "right"',
        "good replies one at a time, bad ones in a batch",
        "share of replies that are what the same prompt gets alone",
        "tests/test_generation.py::test_batched_replies_equal_generate",
        higher=False,
    ),
}


# ---- the broken lines, as functions


def mask_dropped(row: Encoded) -> Encoded:
    """Every token trained: the customer's words and the role tokens as well."""
    return replace(row, mask=[True] * len(row))


def mask_late(row: Encoded) -> Encoded:
    """The mask one position late: a reply loses its first token, and what follows it is trained."""
    return replace(row, mask=[False, *row.mask[:-1]])


def end_left_out(row: Encoded) -> Encoded:
    """The last token of each trained stretch, which is its end token, left untrained."""
    following = [*row.mask[1:], False]
    return replace(row, mask=[a and b for a, b in zip(row.mask, following, strict=True)])


def by_padding_id(batch: Batch, pad_id: int) -> Batch:
    """What a collator makes that knows padding by its id: whatever equals `pad_id` is padding."""
    there = batch["input_ids"] != pad_id
    labels = batch["labels"].masked_fill(~there, IGNORE)
    return {**batch, "labels": labels, "attention_mask": there.long()}


def leaky(batch: Batch) -> Batch:
    """A packed batch (B, T) with a plain causal mask, its positions running on."""
    rows, width = batch["input_ids"].shape
    mask = torch.ones(rows, 1, width, width, dtype=torch.bool).tril()
    return {**batch, "attention_mask": mask, "position_ids": torch.arange(width).expand(rows, -1)}


def naive_mean(model: Any, batch: Batch) -> torch.Tensor:
    """Masked mean as it is often written: the losses times the mask, by the mask's sum."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
    mask = (batch["labels"][:, 1:] != IGNORE).float()
    logits = model(**inputs, use_cache=False).logits[:, :-1]
    targets = batch["input_ids"][:, 1:]
    losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    return (losses * mask).sum() / mask.sum()


def mean_of_means(model: Any, batch: Batch, tokens: int, parts: int = MICRO_BATCHES) -> Any:
    """The loss of one micro-batch, divided by the number of micro-batches; `tokens` is ignored."""
    return lm_loss(model, batch) / parts


ROW_CHANGES: dict[str, Callable[[Encoded], Encoded]] = {
    "mask dropped": mask_dropped,
    "mask off by one": mask_late,
    "end token outside the loss": end_left_out,
}


@dataclass(frozen=True, slots=True)
class Changed:
    """Training data whose every batch goes through `change`."""

    data: PaddedDialogues
    change: Callable[[Batch], Batch]

    def __len__(self) -> int:
        return len(self.data)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        return map(self.change, self.data.epoch(number, start))

    def ids_of(self, epoch: int, index: int) -> list[str]:
        return self.data.ids_of(epoch, index)


# ---- what catches them


def verdict(assertion: Callable[..., Any], *arguments: Any) -> str:
    """What an assertion says: "passes", or "fails: " and the message of its error."""
    try:
        assertion(*arguments)
    except (AssertionError, ValueError) as error:
        return f"fails: {error}"
    return "passes"


def catches(assertion: Callable[..., Any], right: Sequence[Any], broken: Sequence[Any]) -> bool:
    """Whether an assertion passes on the arguments `right` and fails on `broken`; prints both."""
    said = verdict(assertion, *right), verdict(assertion, *broken)
    print(f"right: {said[0]}\nbroken: {said[1]}")
    return said[0] == "passes" and said[1] != "passes"


def assert_replies_trained(batch: Batch, dialogues: Sequence[Dialogue], tokenizer: Any) -> None:
    """Raises AssertionError unless a batch trains the dialogues' replies and their end tokens.

    Looks at what the loss will see: the labels from the second position on.
    """
    labels = batch["labels"][:, 1:]
    assert_trained(labels[labels != IGNORE].tolist(), dialogues, tokenizer)


def assert_answers_end(rows: Sequence[Encoded], end_id: int) -> None:
    """Raises AssertionError unless every trained stretch of every row ends with the end token."""
    for row in rows:
        places = zip(row.ids, row.mask, [*row.mask[1:], False], strict=True)
        last = [token for token, trained, following in places if trained and not following]
        cut = sum(token != end_id for token in last)
        assert not cut, f"dialogue {row.dialogue_id!r}: {cut} of {len(last)} answers have no end"


def assert_something_trained(batch: Batch) -> None:
    """Raises AssertionError when a row of the batch has no trained token: its mean would be 0/0."""
    counts = (batch["labels"][:, 1:] != IGNORE).sum(1).tolist()
    silent = [number for number, count in enumerate(counts) if not count]
    assert not silent, f"rows {silent} of {len(counts)} have no trained token"


def assert_same_gradient(found: torch.Tensor, expected: torch.Tensor, share: float = 1e-3) -> None:
    """Raises AssertionError when a gradient is further off than a `share` of its length."""
    far = relative_distance(found, expected)
    assert far < share, f"the gradient is off by {far:.1%} of its length"


def assert_isolated(
    model: Any, rows: Sequence[Encoded], pad_id: int, change: Callable[[Batch], Batch] | None = None
) -> None:
    """Raises AssertionError when a dialogue's logits move with its neighbour in the packed row."""
    far = neighbour_shift(model, rows, pad_id, change)
    assert far < 1e-3, f"logits moved by {far:.2f} when only the neighbour changed"


def assert_prompt_trained(prompt: Sequence[int], row: Encoded) -> None:
    """Raises AssertionError unless the prompt is a beginning of what training saw."""
    same = next(
        (i for i, (a, b) in enumerate(zip(prompt, row.ids, strict=False)) if a != b), len(row.ids)
    )
    assert same >= len(prompt), f"from token {same} on, the prompt is not what training saw"


def assert_nothing_leaks(train: Sequence[Dialogue], tests: Sequence[Dialogue]) -> None:
    """Raises AssertionError when a training dialogue is a test dialogue, or nearly one."""
    _, leaks = remove_leaks(train, tests)
    names = ", ".join(repr(leak.dialogue_id) for leak in leaks[:3])
    assert not leaks, f"{len(leaks)} training dialogues stand in the test set, such as {names}"


def assert_batch_as_alone(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], side: str
) -> None:
    """Raises AssertionError when a prompt gets another reply in a batch than alone."""
    batch = answers(model, tokenizer, prompts, side)
    alone = [answers(model, tokenizer, [prompt])[0] for prompt in prompts]
    other = sum(a != b for a, b in zip(batch, alone, strict=True))
    assert not other, f"{other} of {len(prompts)} replies are others in a batch than alone"


# ---- the lab


class Answer(NamedTuple):
    """A greedy reply, and whether it came to its end token within the tokens allowed."""

    text: str
    stopped: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured of a model: two held-out losses (nats), and two shares of its replies.

    `loss` by trained token, `first` on the first token of each reply; `stops` is the share of
    replies that end by themselves, `facts` the share that states the right fact.
    """

    loss: float
    first: float
    stops: float
    facts: float


@dataclass(slots=True)
class Run:
    """One training: its history, its model, and what was measured of it."""

    name: str
    seed: int
    model: Any
    history: History
    figures: Figures
    answers: list[Answer]


@dataclass(slots=True)
class Lab:
    """A prepared start, dialogues with their renderings, questions; trainings are kept by name.

    `leaked` and `clean` are the two halves of the held-out rows: the first is what leaks.
    """

    start: Any
    tokenizer: Any
    dialogues: list[Dialogue]
    learn: list[Encoded]
    tests: list[Dialogue]
    held_out: list[Encoded]
    questions: list[FactQuestion]
    config: TrainConfig
    runs: dict[tuple[str, int], Run] = field(default_factory=dict)

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @property
    def leaked(self) -> list[Encoded]:
        return self.held_out[::2]

    @property
    def clean(self) -> list[Encoded]:
        return self.held_out[1::2]

    def run(
        self, name: str = HEALTHY, seed: int = 0, on_record: Callable[[Record], None] | None = None
    ) -> Run:
        """The training called `name`, from a copy of the start; a second call gives the same run.

        Raises KeyError for a name that is neither `HEALTHY` nor a trap that shows in training.
        """
        if (name, seed) not in self.runs:
            model, config = deepcopy(self.start), replace(self.config, seed=seed)
            history = train(model, self.data(name, seed), config, on_record=on_record)
            figures, answers = self.measure(model)
            self.runs[name, seed] = Run(name, seed, model, history, figures, answers)
        return self.runs[name, seed]

    def data(self, name: str = HEALTHY, seed: int = 0) -> PaddedDialogues | Changed:
        """What the training called `name` learns from, in the order of a seed."""
        padded = partial(
            PaddedDialogues, tokens_per_batch=TOKENS_PER_BATCH, order="length", seed=seed
        )
        if name == "pad = EOS":
            end = self.tokenizer.eos_token_id
            return Changed(padded(self.learn, end), partial(by_padding_id, pad_id=end))
        return padded(self.rows(name), self.pad_id)

    def rows(self, name: str = HEALTHY) -> list[Encoded]:
        """The rendered dialogues of that training; `KeyError` names what can be trained."""
        if name in ROW_CHANGES:
            return [ROW_CHANGES[name](row) for row in self.learn]
        if name == "truncated answers":
            return truncate_all(self.learn, SHORT, "right")[0]
        if name == "test leak":
            return [*self.learn[:LEFT_BESIDE_LEAK], *self.leaked]
        if name in (HEALTHY, "pad = EOS"):
            return self.learn
        raise KeyError(f"no training {name!r}: choose from {', '.join(TRAINED)}")

    def measure(self, model: Any) -> tuple[Figures, list[Answer]]:
        """The figures of a model, and its answers to the questions."""
        whole, first = (
            held_out_loss(model, rows, self.pad_id)["eval_loss"]
            for rows in (self.held_out, list(map(first_tokens_only, self.held_out)))
        )
        found = answers(model, self.tokenizer, self.prompts())
        pairs = zip(found, self.questions, strict=True)
        right = [states_fact(answer.text, question) for answer, question in pairs]
        stopped = [answer.stopped for answer in found]
        return Figures(whole, first, _share(stopped), _share(right)), found

    def prompts(self) -> list[list[int]]:
        """The questions as prompts of the chat."""
        return [prompt_ids(question.history, self.tokenizer) for question in self.questions]

    def loss_behind(self, model: Any, prompt: str) -> float:
        """Nats per token of the last replies behind a prompt of that kind (`skew.PROMPTS`)."""
        rows = behind_prompts(self.tests, self.tokenizer, prompt)
        return float(per_token(reply_losses(model, rows, self.pad_id).sum(0)))


TRAINED = (HEALTHY, *ROW_CHANGES, "pad = EOS", "truncated answers", "test leak")


def make_lab(
    start: Any,
    tokenizer: Any,
    learn: Sequence[Dialogue],
    tests: Sequence[Dialogue],
    **settings: Any,
) -> Lab:
    """A lab on those dialogues that have a reply and fit; `settings` are those of `TrainConfig`."""
    config = TrainConfig(
        max_steps=STEPS,
        learning_rate=2e-3,
        warmup_steps=8,
        weight_decay=0.0,
        frozen_tokens=known_tokens(tokenizer),
    )
    known, rows = _fitting(learn, tokenizer)
    asked, held_out = _fitting(tests, tokenizer)
    questions = fact_questions(tests)[:ASKED]
    config = replace(config, **settings)
    return Lab(start, tokenizer, known, rows, asked, held_out, questions, config)


def shop_lab(folder: Path = SHOP, **settings: Any) -> Lab:
    """The lab on the offline shop, from the shipped base model."""
    model, tokenizer = new_model("base")
    learn, tests = (
        list(islice(read_dialogues(folder / f"{name}.jsonl"), count))
        for name, count in (("train", LEARNED), ("test_iid", TESTED))
    )
    return make_lab(model, tokenizer, learn, tests, **settings)


def _fitting(dialogues: Sequence[Dialogue], tokenizer: Any) -> tuple[list[Dialogue], list[Encoded]]:
    pairs = zip(dialogues, encode_all(dialogues, tokenizer), strict=True)
    fit = [(d, row) for d, row in pairs if len(row) <= LONGEST and any(row.mask)]
    if not fit:
        raise ValueError(f"no dialogue with a reply fits into {LONGEST} tokens; give shorter ones")
    return [dialogue for dialogue, _ in fit], [row for _, row in fit]


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def first_tokens_only(row: Encoded) -> Encoded:
    """The row with nothing trained but the first token of each trained stretch."""
    before = [False, *row.mask[:-1]]
    mask = [now and not then for now, then in zip(row.mask, before, strict=True)]
    return replace(row, mask=mask)


# ---- measured of a training


def beside(healthy: Run, broken: Run) -> dict[str, tuple[float, float]]:
    """Each figure of the two runs, healthy first, by what it is called."""
    names = {
        "loss": "held-out loss",
        "first": "loss on first tokens",
        "stops": "replies that stop",
        "facts": "exact facts",
    }
    return {
        words: (getattr(healthy.figures, key), getattr(broken.figures, key))
        for key, words in names.items()
    }


def own_loss(lab: Lab, name: str, seed: int = 0) -> tuple[float, float]:
    """The held-out losses of healthy and broken run, both seen through that broken mask."""
    rows = list(map(ROW_CHANGES[name], lab.held_out))
    models = lab.run(HEALTHY, seed).model, lab.run(name, seed).model
    healthy, broken = (held_out_loss(m, rows, lab.pad_id)["eval_loss"] for m in models)
    return healthy, broken


# ---- measured without a training


@torch.no_grad()
def answers(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], side: str = "left"
) -> list[Answer]:
    """Greedy replies to a batch of prompts by the library's `generate`, padded on that side."""
    tokenizer = deepcopy(tokenizer)
    tokenizer.padding_side = side
    batch = tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt").to(model.device)
    with _without_warnings():  # it warns of right padding, which is what we are here to see
        new = model.eval().generate(
            **batch,
            max_new_tokens=NEW_TOKENS,
            **PLAIN_GREEDY,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )[:, batch["input_ids"].shape[1] :]
    return [_answer(ids, tokenizer) for ids in new.tolist()]


@contextmanager
def _without_warnings() -> Iterator[None]:
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _answer(ids: list[int], tokenizer: Any) -> Answer:
    stopped = tokenizer.eos_token_id in ids
    ids = ids[: ids.index(tokenizer.eos_token_id)] if stopped else ids
    return Answer(tokenizer.decode(ids), stopped)


def weights_lost(model: Any, batch: Batch, loss: Callable[[Any, Batch], torch.Tensor]) -> float:
    """Share of the weights that are no number after one step of AdamW on that loss."""
    copy = deepcopy(model).train()
    optimizer = torch.optim.AdamW(copy.parameters(), lr=1e-4)
    loss(copy, batch).backward()
    torch.nn.utils.clip_grad_norm_(copy.parameters(), 1.0)
    optimizer.step()
    weights = list(copy.parameters())
    lost = sum(int((~weight.isfinite()).sum()) for weight in weights)
    return lost / sum(weight.numel() for weight in weights)


def silent_batch(rows: Sequence[Encoded], pad_id: int) -> Batch:
    """A batch of rows of which nothing is trained, as after a cut that takes the answers away."""
    return pad_batch([replace(row, mask=[False] * len(row)) for row in rows], pad_id)


@torch.no_grad()
def neighbour_shift(
    model: Any, rows: Sequence[Encoded], pad_id: int, change: Callable[[Batch], Batch] | None = None
) -> float:
    """How far a logit of the second dialogue moves when the first one's words are reordered."""
    first, second = rows[:2]
    mixed = list(first.ids)
    random.Random(0).shuffle(mixed)
    width, found = len(first) + len(second), []
    for neighbour in (first, replace(first, ids=mixed)):
        batch = collate_packed([[neighbour, second]], pad_id, width)
        batch = change(batch) if change else batch
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
        found.append(model.eval()(**inputs, use_cache=False).logits[0, len(first) :].float())
    return float((found[0] - found[1]).abs().max())


@torch.no_grad()
def packed_loss(
    model: Any, rows: Sequence[Encoded], pad_id: int, change: Callable[[Batch], Batch] | None = None
) -> float:
    """Held-out loss (nats per trained token) of rows packed into 256 tokens."""
    total, count = 0.0, 0
    for row in pack(rows, 2 * LONGEST):
        batch = collate_packed([row], pad_id, 2 * LONGEST)
        logits, labels = trained_logits(model.eval(), change(batch) if change else batch)
        total += float(F.cross_entropy(logits.float(), labels, reduction="sum"))
        count += len(labels)
    return total / count


def micro_batches(lab: Lab, seed: int = 0) -> list[Batch]:
    """Twelve micro-batches of two dialogues each, drawn by a seed."""
    rows = _drawn(lab, seed)
    return [pad_batch(rows[start : start + 2], lab.pad_id) for start in range(0, len(rows), 2)]


def whole_batch(lab: Lab, seed: int = 0) -> Batch:
    """The dialogues of those micro-batches in one batch."""
    return pad_batch(_drawn(lab, seed), lab.pad_id)


def _drawn(lab: Lab, seed: int) -> list[Encoded]:
    return random.Random(seed).sample(lab.learn, 2 * MICRO_BATCHES)


def leak_gain(lab: Lab, seed: int = 0) -> tuple[float, float]:
    """How much better the leaked half does than the clean half: healthy, and with the leak (nats).

    Halves differ in how hard they are; the healthy run says by how much.
    """
    return tuple(  # type: ignore[return-value]
        held_out_loss(model, lab.clean, lab.pad_id)["eval_loss"]
        - held_out_loss(model, lab.leaked, lab.pad_id)["eval_loss"]
        for model in (lab.run(HEALTHY, seed).model, lab.run("test leak", seed).model)
    )


# ---- one figure a trap


def damage(lab: Lab, name: str, seed: int = 0) -> tuple[float, float]:
    """The trap's figure (`TRAPS[name].measure`) on the healthy path and on the broken one."""
    return _DAMAGES[name](lab, seed)


def _trained(name: str, key: str) -> Callable[[Lab, int], tuple[float, float]]:
    def measured(lab: Lab, seed: int) -> tuple[float, float]:
        healthy, broken = (getattr(lab.run(n, seed).figures, key) for n in (HEALTHY, name))
        return healthy, broken

    return measured


def _nan(lab: Lab, seed: int) -> tuple[float, float]:
    rows = random.Random(seed).sample(lab.learn, 8)
    model, batch = lab.start, pad_batch(rows, lab.pad_id)
    broken = weights_lost(model, silent_batch(rows, lab.pad_id), naive_mean)
    return weights_lost(model, batch, naive_mean), broken


def _accumulated(lab: Lab, seed: int) -> tuple[float, float]:
    """The mean of several draws: how unequal twelve micro-batches are is a matter of luck."""
    model, found = lab.run(HEALTHY, seed).model, []
    for draw in range(seed * DRAWS, (seed + 1) * DRAWS):
        whole = gradient(model, [whole_batch(lab, draw)], lm_loss)
        sides = (
            gradient(model, micro_batches(lab, draw), loss) for loss in (lm_loss, mean_of_means)
        )
        found.append([relative_distance(side, whole) for side in sides])
    right, wrong = (sum(side) / DRAWS for side in zip(*found, strict=True))
    return right, wrong


def _leaked(lab: Lab, seed: int) -> tuple[float, float]:
    model = lab.run(HEALTHY, seed).model
    alone, mixed = (packed_loss(model, lab.held_out, lab.pad_id, c) for c in (None, leaky))
    return alone, mixed


def _skewed(lab: Lab, seed: int) -> tuple[float, float]:
    model = lab.run(HEALTHY, seed).model
    right, wrong = "as trained", "a space after the role"
    return lab.loss_behind(model, right), lab.loss_behind(model, wrong)


def _padded_right(lab: Lab, seed: int) -> tuple[float, float]:
    model, prompts = lab.run(HEALTHY, seed).model, lab.prompts()
    alone = [answers(model, lab.tokenizer, [prompt])[0] for prompt in prompts]
    left, right = (
        _share([a == b for a, b in zip(batch, alone, strict=True)])
        for side in ("left", "right")
        for batch in [answers(model, lab.tokenizer, prompts, side)]
    )
    return left, right


_DAMAGES: dict[str, Callable[[Lab, int], tuple[float, float]]] = {
    "mask dropped": _trained("mask dropped", "loss"),
    "mask off by one": _trained("mask off by one", "first"),
    "end token outside the loss": _trained("end token outside the loss", "stops"),
    "pad = EOS": _trained("pad = EOS", "stops"),
    "truncated answers": _trained("truncated answers", "loss"),
    "all-masked batch": _nan,
    "mean of means": _accumulated,
    "packing leakage": _leaked,
    "template skew": _skewed,
    "test leak": leak_gain,
    "right padding at generation": _padded_right,
}
