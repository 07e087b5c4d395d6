"""The whole journey in one call: raw logs, clean, train, evaluate; on the shop or on real data.

`course.py demo` runs it in the terminal. Chapter 00 walks the same steps cell by cell.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from course_lib.batching import PackedDialogues, truncate_all
from course_lib.chat_format import Encoded, encode_all, known_tokens
from course_lib.cleaning import CleaningReport, clean, config_for, remove_leaks
from course_lib.dialogue import Dialogue, DialogueError, Reject, read_dialogues
from course_lib.generation import context_length, generate
from course_lib.metrics import FactQuestion, exact_facts, fact_questions, held_out_loss
from course_lib.models import (
    ROOT,
    blend,
    from_scratch,
    load_base,
    prepare_for_chat,
    weights_of,
)
from course_lib.sources import read_source
from course_lib.training import History, Record, TrainConfig, train

SHOP = ROOT / "data" / "shop"
RECIPE = TrainConfig(epochs=4.0, learning_rate=7e-4, warmup_steps=20)
SHARE = 0.8  # of the way from the base's weights to the tuned ones: fine-tuning forgets,
MEMORY = ".mlp."  # most of all in the layers that keep the facts
FEWEST_STEPS, MOST_EPOCHS = 100, 8.0  # for data much smaller than the shop
Say = Callable[[str], None]


def say(text: str) -> None:
    """Progress goes to stderr: stdout belongs to the results."""
    print(text, file=sys.stderr, flush=True)


@dataclass(slots=True)
class Journey:
    """Data on the way and the seconds that each stage took."""

    source: str
    raw: list[Dialogue]
    unreadable: list[Reject]
    held_out: list[Dialogue]
    facts_seen: list[FactQuestion] = field(default_factory=list)
    facts_held_out: list[FactQuestion] = field(default_factory=list)
    guarded: list[Dialogue] = field(default_factory=list)  # held out too: only facts are measured
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = self.seconds.get(stage, 0.0) + time.perf_counter() - started
            self.seconds[stage] = round(spent, 2)


def shop_journey(folder: Path = SHOP, questions: int = 200) -> Journey:
    """The offline shop: raw logs to clean, clean sets to measure on."""
    unreadable: list[Reject] = []
    raw = list(read_dialogues(folder / "raw.jsonl", unreadable))
    held_out = list(read_dialogues(folder / "test_iid.jsonl"))
    products = list(read_dialogues(folder / "test_product.jsonl"))
    return Journey(
        "shop",
        raw,
        unreadable,
        held_out,
        fact_questions(held_out)[:questions],
        fact_questions(products)[:questions],
        guarded=products,
    )


def real_journey(
    source: str,
    path: Path,
    limit: int | None = None,
    share: float = 0.1,
    seed: int = 0,
    **options: Any,
) -> Journey:
    """Dialogues of a public data set or of logs; a seeded tenth of its families is held out.

    `options` are the source's own, as `read_source` takes them.
    """
    unreadable: list[Reject] = []
    dialogues = list(read_source(source, path, unreadable, **options))[:limit]
    families = sorted({dialogue.family_id or dialogue.id for dialogue in dialogues})
    if len(families) < 2:
        raise DialogueError(
            f"{len(families)} dialogues are too few to train on some and hold out others", path
        )
    random.Random(seed).shuffle(families)
    chosen = set(families[: max(1, round(share * len(families)))])
    held_out = [d for d in dialogues if (d.family_id or d.id) in chosen]
    raw = [d for d in dialogues if (d.family_id or d.id) not in chosen]
    return Journey(source, raw, unreadable, held_out)


def clean_journey(journey: Journey) -> CleaningReport:
    """Cleans the raw dialogues and takes out what also stands in the held-out ones."""
    with journey.timed("clean"):
        report = clean(journey.raw, config_for(journey.source), journey.unreadable)
        report.kept, leaks = remove_leaks(report.kept, journey.held_out + journey.guarded)
        report.rejected += leaks
    return report


def tune(
    model: Any,
    tokenizer: Any,
    dialogues: Sequence[Dialogue],
    config: TrainConfig = RECIPE,
    on_record: Callable[[Record], None] | None = None,
    tell: Say = say,
    share: float = 1.0,
    replay: Sequence[Encoded] = (),
) -> History:
    """Supervised fine-tuning of a prepared model on clean dialogues, packed into rows.

    `replay` are pieces of the text that the base was pretrained on (`chat_format.encode_texts`).
    Packed among the dialogues, they keep the model from forgetting what it read there.
    With a `share` below 1 its MLPs end so far on the way from their weights before to those after
    (`models.blend`); that is for a start that knows something, not for random weights.
    """
    room = context_length(model)
    encoded, truncation = truncate_all(encode_all(dialogues, tokenizer), room)
    if truncation.shortened or truncation.set_aside:
        tell(f"  to {room} tokens: {truncation}")
    longest = max(len(dialogue) for dialogue in encoded)
    length = min(room, max(256, -(-longest // 32) * 32))
    encoded += [piece for piece in replay if len(piece) <= length]
    rows = PackedDialogues(encoded, tokenizer.pad_token_id, length, seed=config.seed)
    start = weights_of(model) if share < 1.0 else {}
    history = train(model, rows, _long_enough(config, rows), on_record=on_record)
    if start:
        blend(model, start, share, MEMORY)
    return history


def _long_enough(config: TrainConfig, rows: PackedDialogues) -> TrainConfig:
    """More epochs for small data, so that it gets some steps at all; but not without end."""
    enough = min(MOST_EPOCHS, FEWEST_STEPS / len(rows))
    return replace(config, epochs=max(config.epochs, enough))


def measure(model: Any, tokenizer: Any, journey: Journey) -> dict[str, float]:
    """Held-out loss and, where the data has them, exact facts on seen and held-out products."""
    encoded, _ = truncate_all(encode_all(journey.held_out, tokenizer), context_length(model))
    loss = held_out_loss(model, encoded, tokenizer.pad_token_id)["eval_loss"]
    figures = {"loss": round(loss, 4)}
    for name in ("facts_seen", "facts_held_out"):
        questions = getattr(journey, name)
        if questions:
            figures[name] = round(exact_facts(model, tokenizer, questions)[0], 4)
    return figures


def progress(name: str, tell: Say = say, every: int = 50) -> Callable[[Record], None]:
    """A callback that tells every so many steps how the training goes."""

    def on_record(record: Record) -> None:
        if record["step"] % every == 0:
            speed = record["tokens"] / record["seconds"]
            tell(
                f"  {name}, step {record['step']}: loss {record['loss']:.3f}, "
                f"{speed:,.0f} trained tokens a second"
            )

    return on_record


def travel(journey: Journey, tell: Say = say) -> tuple[dict[str, Any], Any, Any]:
    """Cleans, tunes base and random weights, measures; returns figures, model, tokenizer."""
    tell(f"Cleaning {len(journey.raw)} raw dialogues ({journey.source})")
    report = clean_journey(journey)
    tell(report.table())
    figures: dict[str, Any] = {}
    with journey.timed("evaluate"):
        model, tokenizer = prepare_for_chat(*load_base())
        figures["base"] = measure(model, tokenizer, journey)
        tell(f"The base model, untuned: {figures['base']}")
        random_model, _ = prepare_for_chat(*from_scratch())
        if journey.source != "shop":  # how far chance is: the tokens are not the base's own
            figures["untrained"] = measure(random_model, tokenizer, journey)
    ours = journey.source == "shop"  # elsewhere the words are new ones, and must be learned
    held = replace(RECIPE, frozen_tokens=known_tokens(tokenizer)) if ours else RECIPE
    for name, starting, config, share in (
        ("tuned", model, held, SHARE if ours else 1.0),
        ("scratch", random_model, RECIPE, 1.0),
    ):
        tell(f"Training on {len(report.kept)} dialogues ({name})")
        with journey.timed("train"):
            tune(starting, tokenizer, report.kept, config, progress(name, tell), tell, share)
        with journey.timed("evaluate"):
            figures[name] = measure(starting, tokenizer, journey)
        tell(f"  {name}: {figures[name]}")
    figures["seconds"] = journey.seconds
    return figures, model, tokenizer


def sample_replies(
    model: Any, tokenizer: Any, dialogues: Sequence[Dialogue], count: int = 4
) -> list[dict[str, str]]:
    """For some held-out dialogues: the last user turn, what was said then, what the model says."""
    samples = [found for d in dialogues if (found := _last_exchange(d))][:count]
    replies = generate(model, tokenizer, [history for history, _ in samples])
    return [
        {"user": history[-1]["content"], "gold": gold, "model": reply}
        for (history, gold), reply in zip(samples, replies, strict=True)
    ]


def _last_exchange(dialogue: Dialogue) -> tuple[list[dict[str, str]], str] | None:
    messages = dialogue.to_messages()
    for turn in range(1, len(messages)):
        if messages[turn]["role"] == "assistant" and messages[turn - 1]["role"] == "user":
            return messages[:turn], messages[turn]["content"]
    return None
