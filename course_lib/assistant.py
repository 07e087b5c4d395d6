"""The shop's assistant: the base model tuned on all training dialogues, kept in `data/assistant`.

Chapters from 09 on ask, rate, improve and chat with the same model. `python -m
course_lib.assistant` makes it anew, in some five minutes on two cores. With another base model
(COURSE_BASE_MODEL) whoever asks first trains it; the others load it from `runs/assistant`, which
git ignores.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from course_lib.chat_format import known_tokens
from course_lib.dialogue import read_dialogues
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

STEPS, SHARE = 3000, 0.85  # a policy takes longer to learn than the form; see `journey.SHARE`
SHIPPED = ROOT / "data" / "assistant"
OWN = ROOT / "runs" / "assistant"
_KEY = "made_from.txt"


def shop_assistant(
    folder: str | Path | None = None,
    on_record: Callable[[Record], None] | None = None,
    max_steps: int = STEPS,
) -> tuple[Any, Any]:
    """The tuned model and its tokenizer: the shipped one, or trained in `folder` and kept there.

    A folder made from another recipe, base model or training set is made anew. The folder appears
    whole or not at all, so two processes may ask at once.
    """
    if folder is None:
        folder = SHIPPED if Path(base_model_name()) == BASE_MODEL else OWN
    folder, key = Path(folder), made_from(max_steps)
    if not _is_ready(folder, key):
        model, tokenizer = prepare_for_chat(*load_base())
        config = replace(RECIPE, frozen_tokens=known_tokens(tokenizer), max_steps=max_steps)
        dialogues = list(read_dialogues(SHOP / "train.jsonl"))
        tune(model, tokenizer, dialogues, config, on_record, share=SHARE)
        _keep(model, tokenizer, folder, key)
    return load_chat(folder)


def made_from(max_steps: int = STEPS) -> str:
    """What the assistant is made from, as one hash: recipe, training set, base model."""
    base = Path(base_model_name())
    names = ("model.safetensors", "tokenizer.json")  # none for a model of the Hub: its name must do
    files = [base / name for name in names if (base / name).is_file()]
    digest = hashlib.sha256(f"{RECIPE!r} {SHARE} {max_steps} {'' if files else base}".encode())
    for path in (SHOP / "train.jsonl", *files):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_ready(folder: Path, key: str) -> bool:
    try:
        return (folder / _KEY).read_text(encoding="utf-8") == key
    except OSError:
        return False


def _keep(model: Any, tokenizer: Any, folder: Path, key: str) -> None:
    """Writes the folder aside and renames it, unless another process was faster."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        save_model(model, tokenizer, aside, half=True)
        (aside / _KEY).write_text(key, encoding="utf-8")
        if not _is_ready(folder, key):
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


if __name__ == "__main__":
    shop_assistant(on_record=progress("assistant", every=250))
