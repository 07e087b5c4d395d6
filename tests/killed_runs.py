"""Runs for the kill test: one process that loads torch once and forks a training for each line.

Reads a checkpoint's path from its input and answers with the child's process id; reads another line
and answers, when the child is gone, with its exit status. Until that line the id is the child's,
dead or alive. A run that ends writes its losses and a hash of its weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import torch

from course_lib.batching import PackedDialogues
from course_lib.chat_format import encode_all
from course_lib.models import prepare_for_chat
from course_lib.training import TrainConfig, train
from tests.tiny import bpe_tokenizer, tiny_gpt2, toy_dialogues


def make_run():
    """A model, its data and a config with every source of randomness and state switched on."""
    model, tokenizer = prepare_for_chat(tiny_gpt2(), bpe_tokenizer())
    encoded = encode_all(toy_dialogues() * 6, tokenizer)
    data = PackedDialogues(encoded, tokenizer.pad_token_id, 96, rows_per_batch=2)
    config = TrainConfig(
        max_steps=16,
        warmup_steps=2,
        learning_rate=3e-3,
        accumulation=2,
        precision="fp32",
        dropout=0.1,
        neftune_alpha=5.0,
        eval_every=3,
        patience=5,
        checkpoint_every=1,
    )
    return model, data, config


def measure(model) -> dict[str, float]:
    return {"eval_loss": float(model.transformer.wte.weight.detach().square().mean())}


def finish(model, data, config, result: Path) -> None:
    history = train(model, data, config, measure)
    weights = hashlib.sha256()
    for tensor in model.state_dict().values():
        weights.update(tensor.numpy().tobytes())
    found = {"losses": history.values("loss"), "weights": weights.hexdigest()}
    result.write_text(json.dumps(found), encoding="utf-8")


def serve() -> None:
    torch.set_num_threads(1)  # no thread pool, which a fork would not inherit
    model, data, config = make_run()
    print("ready", flush=True)
    while line := sys.stdin.readline().strip():
        path = Path(line)
        child = os.fork()
        if child == 0:
            settings = {name: getattr(config, name) for name in config.__slots__}
            finish(model, data, TrainConfig(**{**settings, "checkpoint": str(path)}), _result(path))
            os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _result(path: Path) -> Path:
    return path.with_suffix(".json")


if __name__ == "__main__":
    serve()
