"""The shop's assistant: the base model tuned on all training dialogues, kept in `data/assistant`.

Chapters from 09 on ask, rate, improve and chat with the same model. `python -m
course_lib.assistant` makes it anew, in a quarter of an hour on two cores. With another base model
(COURSE_BASE_MODEL) whoever asks first trains it; the others load it from `runs/assistant`, which
git ignores.

It learns more than the recipe of chapter 00 asks for: when to ask, confirm, decline and hand over.
So it reads further dialogues in other wordings (`world.further`), each dialogue with several values
(`augmentation`), and between them some of the base's own text, or else it would forget the facts
(`replay` in `journey.tune`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from course_lib.augmentation import RARE, augmented
from course_lib.chat_format import Encoded, encode_texts, known_tokens
from course_lib.dialogue import Dialogue, read_dialogues
from course_lib.journey import RECIPE, SHOP, progress, tune
from course_lib.models import (
    BASE_MODEL,
    ROOT,
    base_model_name,
    load_base,
    load_chat,
    prepare_for_chat,
    save_model,
)
from course_lib.training import Record
from course_lib.world.catalogue import load_catalogue
from course_lib.world.corpus import build_corpus
from course_lib.world.further import FURTHER, further_dialogues
from course_lib.world.splits import SIZES

STEPS, COPIES = 7500, 2  # one pass over all, replayed text too
FURTHER_DIALOGUES, REPLAYED = 17_000, 1_000_000  # the second: words of the base model's text
SEED = 7  # of that text, and of the further dialogues
SHIPPED = ROOT / "data" / "assistant"
OWN = ROOT / "runs" / "assistant"
_KEY, _CARD = "made_from.txt", "README.md"


def shop_assistant(
    folder: str | Path | None = None,
    on_record: Callable[[Record], None] | None = None,
    max_steps: int = STEPS,
    anew: bool = False,
) -> tuple[Any, Any]:
    """The tuned model and its tokenizer: the shipped one, or trained in `folder` and kept there.

    A folder made from another recipe, base model or training set is made anew, with `anew` any
    folder. It appears whole or not at all, so two processes may ask at once.
    """
    if folder is None:
        folder = SHIPPED if Path(base_model_name()) == BASE_MODEL else OWN
    folder, key = Path(folder), made_from(max_steps)
    if anew or not _is_ready(folder, key):
        model, tokenizer = prepare_for_chat(*load_base())
        config = replace(RECIPE, frozen_tokens=known_tokens(tokenizer), max_steps=max_steps)
        dialogues = augmented(practised(), COPIES)
        tune(model, tokenizer, dialogues, config, on_record, replay=_replayed(tokenizer))
        _keep(model, tokenizer, folder, key, anew)
    return load_chat(folder)


def made_from(max_steps: int = STEPS) -> str:
    """What the assistant is made from, as one hash: recipe, training set, base model."""
    base = Path(base_model_name())
    names = ("model.safetensors", "tokenizer.json")  # none for a model of the Hub: its name must do
    files = [base / name for name in names if (base / name).is_file()]
    own = (COPIES, RARE, FURTHER_DIALOGUES, REPLAYED, SEED, max_steps, "" if files else str(base))
    digest = hashlib.sha256(f"{RECIPE!r} {own!r}".encode())
    for path in (SHOP / "train.jsonl", *sorted(FURTHER.glob("*.txt")), *files):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def practised(further: int | None = None) -> list[Dialogue]:
    """What it learns from: the training dialogues, then so many further ones, or all of them."""
    number = FURTHER_DIALOGUES if further is None else further
    train = list(read_dialogues(SHOP / "train.jsonl"))
    held_out = {n: list(read_dialogues(SHOP / f"{n}.jsonl")) for n in SIZES if n != "train"}
    return train + further_dialogues(load_catalogue(), number, held_out, SEED)


def _replayed(tokenizer: Any) -> list[Encoded]:
    """Some of what our own base model read; of another one's text we have none."""
    if Path(base_model_name()) != BASE_MODEL:
        return []
    return encode_texts(list(build_corpus(load_catalogue(), SEED, REPLAYED)), tokenizer)


def _is_ready(folder: Path, key: str) -> bool:
    try:
        return (folder / _KEY).read_text(encoding="utf-8") == key
    except OSError:
        return False


def _keep(model: Any, tokenizer: Any, folder: Path, key: str, anew: bool) -> None:
    """Writes the folder aside and renames it, unless another process was faster and may be."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        save_model(model, tokenizer, aside, half=True)
        _compact(aside / "tokenizer.json")
        if (folder / _CARD).is_file():
            shutil.copy(folder / _CARD, aside / _CARD)
        (aside / _KEY).write_text(key, encoding="utf-8")
        if anew or not _is_ready(folder, key):
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _compact(path: Path) -> None:
    """Takes the line breaks out of a JSON file: half its size, and it lies in every clone."""
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), "utf-8")


if __name__ == "__main__":
    shop_assistant(on_record=progress("assistant", every=250), anew=True)
