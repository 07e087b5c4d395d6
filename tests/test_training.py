"""The loop: schedules and losses equal to transformers', exact resume, clear stop on NaN."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from course_lib.batching import PackedDialogues, pad_batch
from course_lib.chat_format import encode_all, known_tokens
from course_lib.models import prepare_for_chat
from course_lib.optimizers import OPTIMIZERS
from course_lib.training import (
    TrainConfig,
    TrainingDiverged,
    optimizer_for,
    train,
)
from tests.tiny import ROOT, bpe_tokenizer, tiny_gpt2

FAST = TrainConfig(max_steps=12, learning_rate=5e-3, warmup_steps=2, precision="fp32")


def data_for(dialogues, tokenizer, copies: int = 6) -> PackedDialogues:
    encoded = encode_all(list(dialogues) * copies, tokenizer)
    return PackedDialogues(encoded, tokenizer.pad_token_id, 128, rows_per_batch=2)


@pytest.fixture
def ready(three_dialogues):
    model, tokenizer = prepare_for_chat(tiny_gpt2(dropout=0.1), bpe_tokenizer())
    return model, data_for(three_dialogues, tokenizer), tokenizer


def test_steps_equal_trainer(three_dialogues, tmp_path):
    """Same batches, same settings: ten steps give the losses that `Trainer` logs."""
    from transformers import Trainer, TrainingArguments

    tokenizer = bpe_tokenizer()
    ours, _ = prepare_for_chat(tiny_gpt2(), tokenizer)
    theirs, _ = prepare_for_chat(tiny_gpt2(), tokenizer)
    encoded = encode_all(three_dialogues, tokenizer)
    batches = [pad_batch(encoded[i : i + 2], tokenizer.pad_token_id, 128) for i in (0, 1)] * 5

    class Fixed:
        def __len__(self) -> int:
            return len(batches)

        def epoch(self, number: int):
            return iter(batches)

    config = TrainConfig(
        learning_rate=1e-3, warmup_steps=3, schedule="linear", weight_decay=0.1, precision="fp32"
    )
    losses = [loss for _, loss in train(ours, Fixed(), config).values("loss")]
    rows = [{k: v[i] for k, v in b.items()} for b in batches for i in range(2)]
    trainer = Trainer(
        model=theirs,
        args=TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=2,
            num_train_epochs=1,
            learning_rate=1e-3,
            warmup_steps=3,
            lr_scheduler_type="linear",
            weight_decay=0.1,
            adam_beta2=0.95,
            max_grad_norm=1.0,
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            train_sampling_strategy="sequential",
        ),
        train_dataset=rows,
    )
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == len(losses) == 10
    assert losses == pytest.approx(logged, abs=1e-4)


def test_training_lowers_the_loss(ready):
    model, data, _ = ready
    losses = [loss for _, loss in train(model, data, FAST).values("loss")]
    assert losses[-1] < losses[0] - 1.0


def test_decay_is_for_matrices_only(ready):
    groups = optimizer_for(ready[0], FAST).param_groups
    assert {p.dim() for p in groups[0]["params"]} == {2}
    assert {p.dim() for p in groups[1]["params"]} == {1}
    assert groups[1]["weight_decay"] == 0.0


def test_held_embeddings_stay_and_new_ones_learn(model, three_dialogues):
    """Tied or not: rows below `frozen_tokens` keep their very bits, the chat tokens' rows move."""
    model, tokenizer = prepare_for_chat(model, bpe_tokenizer())
    known = known_tokens(tokenizer)
    before = [layer.weight.detach().clone() for layer in token_layers(model)]
    config = TrainConfig(**{**as_dict(FAST), "frozen_tokens": known, "weight_decay": 0.1})
    train(model, data_for(three_dialogues, tokenizer), config)
    for layer, old in zip(token_layers(model), before, strict=True):
        assert torch.equal(layer.weight[:known], old[:known])
        assert not torch.equal(layer.weight[known:], old[known:])


def token_layers(model):
    return model.get_input_embeddings(), model.get_output_embeddings()


def test_unheld_tokens_drift_though_no_dialogue_names_them(three_dialogues):
    """The failure that holding prevents: Adam moves a row that is never read nor right."""
    model, tokenizer = prepare_for_chat(tiny_gpt2(), bpe_tokenizer())
    data = data_for(three_dialogues, tokenizer)
    used = {token for batch in data.epoch(0) for token in batch["input_ids"].flatten().tolist()}
    unused = next(token for token in range(known_tokens(tokenizer)) if token not in used)
    before = model.transformer.wte.weight[unused].detach().clone()
    train(model, data, FAST)
    moved = (model.transformer.wte.weight[unused] - before).abs().max().item()
    assert moved > FAST.learning_rate


def test_clipping_bites(ready):
    """The logged norm is the one before clipping, so it may stand above the limit."""
    model, data, _ = ready
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    config = TrainConfig(max_steps=1, warmup_steps=0, clip=1e-8, precision="fp32", weight_decay=0)
    history = train(model, data, config)
    assert history.records[0]["grad_norm"] > 0.1
    moved = max((p - before[n]).abs().max().item() for n, p in model.named_parameters())
    assert moved < 0.6 * config.learning_rate  # AdamW alone would move each weight by the full rate


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resume_ends_in_the_same_weights(three_dialogues, tmp_path, optimizer):
    """Stopped after 5 of 12 steps and continued, dropout and all: bit for bit the same."""
    config = TrainConfig(**{**as_dict(FAST), "optimizer": optimizer})

    def fresh():
        model, tokenizer = prepare_for_chat(tiny_gpt2(dropout=0.1), bpe_tokenizer())
        return model, data_for(three_dialogues, tokenizer)

    model, data = fresh()
    torch.manual_seed(0)
    whole = train(model, data, config)
    place = {"checkpoint": str(tmp_path / "run.pt"), "checkpoint_every": 5}
    settings = {**as_dict(config), **place}

    class Stopped(Exception):
        pass

    def stop(record):
        if record["step"] == 8:
            raise Stopped

    interrupted, data = fresh()
    with pytest.raises(Stopped):
        train(interrupted, data, TrainConfig(**settings), on_record=stop)
    resumed, data = fresh()
    history = train(resumed, data, TrainConfig(**settings))
    assert history.values("loss") == whole.values("loss")
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def as_dict(config: TrainConfig) -> dict:
    from dataclasses import asdict

    return asdict(config)


def test_resume_with_other_settings_is_refused(ready, tmp_path):
    model, data, _ = ready
    settings = {**as_dict(FAST), "checkpoint": str(tmp_path / "run.pt")}
    train(model, data, TrainConfig(**settings))
    with pytest.raises(ValueError, match="learning_rate"):
        train(model, data, TrainConfig(**{**settings, "learning_rate": 1e-4}))


def test_a_failing_save_keeps_the_old_checkpoint(ready, tmp_path, monkeypatch):
    model, data, _ = ready
    path = tmp_path / "run.pt"
    settings = {**as_dict(FAST), "checkpoint": str(path), "checkpoint_every": 6}
    written = torch.save
    calls = []

    def half(state, file):
        calls.append(1)
        if len(calls) == 2:
            file.write(b"half a file")
            raise OSError("No space left on device")
        written(state, file)

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        train(model, data, TrainConfig(**settings))
    assert torch.load(path, weights_only=True)["step"] == 6
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_divergence_stops_with_step_and_advice(ready):
    model, data, _ = ready
    with torch.no_grad():
        model.transformer.wte.weight[5:50] = float("nan")
    with pytest.raises(TrainingDiverged, match=r"step 1: .*nan.*Lower learning_rate"):
        train(model, data, FAST)


def test_records_reach_callback_and_log(ready, tmp_path):
    model, data, _ = ready
    seen = []
    config = TrainConfig(**{**as_dict(FAST), "log": str(tmp_path / "log.jsonl"), "eval_every": 5})
    history = train(model, data, config, lambda m: {"eval_loss": 1.0}, seen.append)
    assert seen == history.records
    assert len(Path(config.log or "").read_text().splitlines()) == 12
    assert [step for step, _ in history.values("eval_loss")] == [5, 10, 12]


def test_accumulation_gives_the_losses_of_big_batches(three_dialogues):
    """Same rows, micro-batches of 1 row against batches of 4: the same run."""
    runs = []
    for rows, accumulation in ((4, 1), (1, 4)):
        model, tokenizer = prepare_for_chat(tiny_gpt2(), bpe_tokenizer())
        encoded = encode_all(list(three_dialogues) * 24, tokenizer)
        data = PackedDialogues(encoded, tokenizer.pad_token_id, 128, rows_per_batch=rows)
        assert len(data.rows(0)) % 4 == 0  # else an epoch's last batch is smaller
        config = TrainConfig(max_steps=6, accumulation=accumulation, precision="fp32")
        runs.append([loss for _, loss in train(model, data, config).values("loss")])
    assert runs[0] == pytest.approx(runs[1], abs=1e-4)
