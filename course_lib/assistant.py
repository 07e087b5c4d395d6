"""The shop's assistant: the base model tuned by the shipped recipe, trained once and kept.

Chapters from 09 on ask, rate, improve and chat with the same model. Whichever runs first trains
it; the others load it from `runs/assistant`, which git ignores.
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
from course_lib.journey import RECIPE, SHARE, SHOP, tune
from course_lib.models import (
    ROOT,
    base_model_name,
    load_base,
    load_chat,
    prepare_for_chat,
    save_model,
)
from course_lib.training import Record

STEPS = 1000  # what a minute and a half on two cores is good for
FOLDER = ROOT / "runs" / "assistant"
_KEY = "made_from.txt"


def shop_assistant(
    folder: str | Path = FOLDER,
    on_record: Callable[[Record], None] | None = None,
    max_steps: int = STEPS,
) -> tuple[Any, Any]:
    """The tuned model and its tokenizer: loaded from `folder`, or trained there first.

    A folder made from another recipe, base model or training set is made anew. The folder appears
    whole or not at all, so two processes may ask at once.
    """
    folder, key = Path(folder), _key(max_steps)
    if not _is_ready(folder, key):
        model, tokenizer = prepare_for_chat(*load_base())
        config = replace(RECIPE, frozen_tokens=known_tokens(tokenizer), max_steps=max_steps)
        dialogues = list(read_dialogues(SHOP / "train.jsonl"))
        tune(model, tokenizer, dialogues, config, on_record, share=SHARE)
        _keep(model, tokenizer, folder, key)
    return load_chat(folder)


def _key(max_steps: int) -> str:
    """What the assistant is made from, as one hash."""
    base = Path(base_model_name())
    files = sorted(base.glob("*.safetensors"))  # none for a model of the Hub: its name must do
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
        save_model(model, tokenizer, aside)
        (aside / _KEY).write_text(key, encoding="utf-8")
        if not _is_ready(folder, key):
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
