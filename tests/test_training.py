"""The loop: schedules and losses equal to transformers', exact resume, clear stop on NaN."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from course_lib import training
from course_lib.batching import PackedDialogues, PaddedDialogues, pad_batch
from course_lib.chat_format import encode_all, known_tokens, template_messages
from course_lib.checkpoints import load_checkpoint
from course_lib.models import prepare_for_chat
from course_lib.training import (
    TrainConfig,
    TrainingDiverged,
    TrainingInterrupted,
    optimizer_for,
    read_records,
    train,
)
from tests.tiny import bpe_tokenizer, tiny_gpt2, tiny_llama

FAST = TrainConfig(max_steps=12, learning_rate=5e-3, warmup_steps=2, precision="fp32")


def data_for(dialogues, tokenizer, copies: int = 6) -> PackedDialogues:
    encoded = encode_all(list(dialogues) * copies, tokenizer)
    return PackedDialogues(encoded, tokenizer.pad_token_id, 128, rows_per_batch=2)


@pytest.fixture
def ready(three_dialogues):
    model, tokenizer = prepare_for_chat(tiny_gpt2(dropout=0.1), bpe_tokenizer())
    return model, data_for(three_dialogues, tokenizer), tokenizer


# ---- the professional's way: the same ten steps


TEN = replace(
    FAST,
    max_steps=10,
    learning_rate=1e-3,
    warmup_steps=3,
    schedule="linear",
    weight_decay=0.1,
    accumulation=2,
)


def same_settings(config: TrainConfig, folder: Path) -> dict:
    """`config` in the words of `TrainingArguments`."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": config.accumulation,
        "max_steps": config.max_steps,
        "learning_rate": config.learning_rate,
        "warmup_steps": config.warmup_steps,
        "lr_scheduler_type": config.schedule,
        "weight_decay": config.weight_decay,
        "adam_beta2": 0.95,
        "max_grad_norm": config.clip,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "train_sampling_strategy": "sequential",
    }


def in_our_order(data: PaddedDialogues, dialogues: list, epochs: int) -> list:
    """The dialogues as `data` serves them in its first epochs."""
    by_id = {dialogue.id: dialogue for dialogue in dialogues}
    places = [(epoch, index) for epoch in range(epochs) for index in range(len(data))]
    return [by_id[name] for place in places for name in data.ids_of(*place)]


@pytest.fixture
def same_run(three_dialogues):
    """Ten steps of our loop, and the dialogues in the order in which it saw them."""
    dialogues = [replace(d, id=f"{d.id}-{n}") for n in range(4) for d in three_dialogues]
    model, tokenizer = prepare_for_chat(tiny_gpt2(), bpe_tokenizer())
    encoded = encode_all(dialogues, tokenizer)
    data = PaddedDialogues(encoded, tokenizer.pad_token_id, rows_per_batch=2)
    losses = [loss for _, loss in train(model, data, TEN).values("loss")]
    return losses, in_our_order(data, dialogues, epochs=4), tokenizer


def logged_by(trainer) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_steps_equal_trainer(same_run, tmp_path):
    from transformers import Trainer, TrainingArguments

    losses, dialogues, tokenizer = same_run
    trainer = Trainer(
        model=prepare_for_chat(tiny_gpt2(), bpe_tokenizer())[0],
        args=TrainingArguments(**same_settings(TEN, tmp_path)),
        train_dataset=encode_all(dialogues, tokenizer),
        data_collator=partial(pad_batch, pad_id=tokenizer.pad_token_id),
    )
    assert losses == pytest.approx(logged_by(trainer), abs=1e-4)
    assert len(losses) == 10


def sft_losses(dialogues, tokenizer, folder: Path, **settings) -> list[float]:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [{"messages": template_messages(dialogue)} for dialogue in dialogues]
    trainer = SFTTrainer(
        model=prepare_for_chat(tiny_gpt2(), bpe_tokenizer())[0],
        args=SFTConfig(
            **same_settings(TEN, folder),
            **{
                "assistant_only_loss": True,
                "bf16": False,
                "gradient_checkpointing": None,
                **settings,
            },
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    return logged_by(trainer)


def test_steps_equal_sft_trainer(same_run, tmp_path):
    pytest.importorskip("trl")
    losses, dialogues, tokenizer = same_run
    assert losses == pytest.approx(sft_losses(dialogues, tokenizer, tmp_path), abs=1e-4)


def test_another_mask_is_noticed(same_run, tmp_path):
    """The mutant: SFTTrainer's default, which trains the customer's words as well."""
    pytest.importorskip("trl")
    losses, dialogues, tokenizer = same_run
    theirs = sft_losses(dialogues, tokenizer, tmp_path, assistant_only_loss=False)
    assert losses != pytest.approx(theirs, abs=1e-2)


def test_a_mean_of_means_is_noticed(same_run, monkeypatch, three_dialogues):
    """The mutant: each micro-batch divided by its own tokens, and the loss by their number."""
    losses, dialogues, tokenizer = same_run

    def own_mean(model, batch, divisor, config):
        return original(model, batch) / TEN.accumulation

    original = training.lm_loss
    monkeypatch.setattr(training, "lm_loss", own_mean)
    model, _ = prepare_for_chat(tiny_gpt2(), bpe_tokenizer())
    data = PaddedDialogues(
        encode_all(dialogues[:12], tokenizer), tokenizer.pad_token_id, rows_per_batch=2
    )
    means = train(model, data, TEN).values("loss")
    monkeypatch.setattr(training, "lm_loss", original)
    model, _ = prepare_for_chat(tiny_gpt2(), bpe_tokenizer())
    right = train(model, data, TEN).values("loss")
    assert [loss for _, loss in means] != pytest.approx([loss for _, loss in right], abs=1e-2)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_an_accelerator_gives_the_losses_of_the_cpu(three_dialogues, kind):
    there = torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()
    if not there:
        pytest.skip(f"no {kind} device here")
    runs = []
    for device in ("cpu", kind):
        model, data = fresh(three_dialogues)
        config = replace(FAST, max_steps=5, dropout=0.0)
        runs.append([loss for _, loss in train(model.to(device), data, config).values("loss")])
    assert runs[0] == pytest.approx(runs[1], abs=1e-3)


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
    config = replace(FAST, frozen_tokens=known, weight_decay=0.1)
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


def assert_small_steps_count(model, data) -> None:
    """At a rate of fine-tuning every gain of every norm moves."""
    gains = {n: p.detach().clone() for n, p in model.named_parameters() if "ln_" in n}
    train(model, data, replace(FAST, max_steps=4, learning_rate=2e-5, warmup_steps=0))
    assert gains and all((model.get_parameter(n) != old).all() for n, old in gains.items())


def test_small_steps_count_as_weights_are_kept_in_32_bits(ready):
    model, data, _ = ready
    with pytest.raises(ValueError, match="bfloat16"):
        assert_small_steps_count(model.bfloat16(), data)
    assert_small_steps_count(model.float(), data)


def test_weights_in_16_bits_would_stay(ready, monkeypatch):
    """The mutant: without the refusal a step of 2e-5 beside a gain of 1 rounds away in bf16."""
    model, data, _ = ready
    monkeypatch.setattr(training, "require_full_weights", lambda model: None)
    with pytest.raises(AssertionError):
        assert_small_steps_count(model.bfloat16(), data)


def test_clipping_bites(ready):
    """The logged norm is the one before clipping, so it may stand above the limit."""
    model, data, _ = ready
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    config = TrainConfig(max_steps=1, warmup_steps=0, clip=1e-8, precision="fp32", weight_decay=0)
    history = train(model, data, config)
    assert history.records[0]["grad_norm"] > 0.1
    moved = max((p - before[n]).abs().max().item() for n, p in model.named_parameters())
    assert moved < 0.6 * config.learning_rate  # AdamW alone would move each weight by the full rate


RUNS = {
    "adamw": FAST,
    "muon": replace(FAST, optimizer="muon"),
    "noise": replace(FAST, neftune_alpha=5.0, dropout=0.2),
    "accumulated": replace(FAST, accumulation=3),
    "cheap": replace(FAST, gradient_checkpointing=True),
    "stopping": replace(FAST, eval_every=1, patience=4, schedule="wsd"),
}


class WithoutStart:
    """Data that cannot begin in mid-epoch and names no dialogues: the least that `train` takes."""

    def __init__(self, data) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def epoch(self, number: int):
        return self.data.epoch(number)


def fresh(dialogues, bare: bool = False):
    model, tokenizer = prepare_for_chat(tiny_gpt2(dropout=0.1), bpe_tokenizer())
    data = data_for(dialogues, tokenizer)
    return model, WithoutStart(data) if bare else data


EVALUATIONS = [5.0, 4.0, 3.0, 2.0, 1.0, 1.5, 1.4, 1.3, 1.2, 0.9, 0.8, 0.7]  # patience 4: 9 steps


def measure_from(step: int):
    """Stands for an evaluation after each step; uses random numbers, as sampling does."""
    values = iter(EVALUATIONS[step:])

    def evaluate(model) -> dict[str, float]:
        torch.rand(3)
        return {"eval_loss": next(values)}

    return evaluate


def assert_resumed_equals_whole(dialogues, folder: Path, config: TrainConfig, bare=False) -> None:
    """Stopped after 8 steps, checkpoint at 5, and continued: the same weights, bit for bit."""

    def evaluate(step: int):
        return measure_from(step) if config.eval_every else None

    model, data = fresh(dialogues, bare)
    whole = train(model, data, config, evaluate(0))
    broken = replace(config, checkpoint=str(folder / "run.pt"), checkpoint_every=5)

    class Stopped(Exception):
        pass

    def stop(record):
        if record["step"] == 8:
            raise Stopped

    interrupted, data = fresh(dialogues, bare)
    with pytest.raises(Stopped):
        train(interrupted, data, broken, evaluate(0), stop)
    torch.manual_seed(99)  # another process has other random numbers
    resumed, data = fresh(dialogues, bare)
    history = train(resumed, data, broken, evaluate(5))
    assert history.values("loss") == whole.values("loss")
    assert (history.best_step, history.stopped_early) == (whole.best_step, whole.stopped_early)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


@pytest.mark.parametrize("bare", [False, True], ids=["from the middle", "skipping"])
@pytest.mark.parametrize("name", RUNS)
def test_resume_ends_in_the_same_weights(three_dialogues, tmp_path, name, bare):
    assert_resumed_equals_whole(three_dialogues, tmp_path, RUNS[name], bare)


def forgets(name: str):
    """A `_restore` that leaves one part of the state as it is at the start."""

    def mutant(run, state):
        kept = getattr(run, name)
        restore(run, state)
        setattr(run, name, kept)

    restore = training._Run._restore
    return mutant


@pytest.mark.parametrize(
    ("config", "place", "mutant"),
    [
        ("adamw", (training._Run, "_restore"), forgets("place")),  # replays data
        ("adamw", (training._Run, "_restore"), forgets("step")),  # restarts the schedule
        ("noise", (training, "set_random_state"), lambda state: None),
        ("stopping", (training.EarlyStopping, "load_state_dict"), lambda self, state: None),
        ("adamw", (torch.optim.AdamW, "load_state_dict"), lambda self, state: None),
    ],
    ids=["data replayed", "schedule restarted", "other noise", "patience anew", "no momentum"],
)
def test_a_resume_that_forgets_is_noticed(
    three_dialogues, tmp_path, monkeypatch, config, place, mutant
):
    monkeypatch.setattr(*place, mutant)
    with pytest.raises(AssertionError):
        assert_resumed_equals_whole(three_dialogues, tmp_path, RUNS[config])


def test_a_resumed_run_builds_no_batch_twice(three_dialogues, tmp_path):
    config = replace(FAST, checkpoint=str(tmp_path / "run.pt"), checkpoint_every=4)
    model, data = fresh(three_dialogues)
    assert len(data) > 5  # so that the stop is in the middle of an epoch
    with pytest.raises(ZeroDivisionError):
        train(model, data, config, on_record=lambda r: 1 / (5 - r["step"]))
    built: list[tuple[int, int]] = []
    original = type(data).epoch

    class Watched(type(data)):
        def epoch(self, number, start=0):
            built.append((number, start))
            return original(self, number, start)

    watched = Watched(data.dialogues, data.pad_id, data.row_length, data.rows_per_batch)
    train(fresh(three_dialogues)[0], watched, config)
    assert built[0] == (0, 4)


def test_a_finished_run_is_not_trained_again(three_dialogues, tmp_path):
    config = replace(RUNS["stopping"], checkpoint=str(tmp_path / "run.pt"))
    first, data = fresh(three_dialogues)
    history = train(first, data, config, measure_from(0))
    second, data = fresh(three_dialogues)
    assert train(second, data, config, measure_from(12)).records == history.records
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), name


def test_early_stopping_gives_the_best_weights_back(three_dialogues):
    """The measure is best after step 4: the model must be as a run of 4 steps left it."""
    config = replace(FAST, eval_every=2, patience=2, schedule="constant")
    values = iter([3.0, 2.0, 2.5, 2.6, 1.0])
    model, data = fresh(three_dialogues)
    history = train(model, data, config, lambda model: {"eval_loss": next(values)})
    assert (history.best_step, history.stopped_early, len(history.records)) == (4, True, 8)
    short, data = fresh(three_dialogues)
    train(short, data, replace(config, max_steps=4, patience=0))
    for name, weight in short.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name]), name


def test_patience_without_evaluation_says_so(ready):
    model, data, _ = ready
    with pytest.raises(ValueError, match="evaluate"):
        train(model, data, replace(FAST, eval_every=1, patience=1))


def test_resume_with_other_settings_is_refused(ready, tmp_path):
    model, data, _ = ready
    config = replace(FAST, checkpoint=str(tmp_path / "run.pt"))
    train(model, data, config)
    with pytest.raises(ValueError, match="learning_rate"):
        train(model, data, replace(config, learning_rate=1e-4))


def test_a_failing_save_keeps_the_old_checkpoint(ready, tmp_path, monkeypatch):
    model, data, _ = ready
    path = tmp_path / "run.pt"
    config = replace(FAST, checkpoint=str(path), checkpoint_every=6)
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
        train(model, data, config)
    assert torch.load(path, weights_only=True)["step"] == 6
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def poisoned(model, token: int):
    """One embedding is no number, so one batch in several has no loss."""
    with torch.no_grad():
        model.transformer.wte.weight[token] = float("nan")


class OneBad:
    """Batches of ordinary tokens; batch 3 of epoch 0 alone holds token 9."""

    def __init__(self, names: bool) -> None:
        if names:
            self.ids_of = lambda epoch, index: [f"d{epoch}-{index}a", f"d{epoch}-{index}b"]

    def __len__(self) -> int:
        return 8

    def epoch(self, number: int):
        for index in range(8):
            ids = torch.full((2, 6), 9 if (number, index) == (0, 3) else 7)
            yield {"input_ids": ids, "labels": ids.clone()}


@pytest.mark.parametrize("names", [True, False])
def test_divergence_names_the_batch_and_its_dialogues(names):
    """Untied, so that the poison is read in one batch only; two micro-batches a step."""
    model = tiny_llama()
    with torch.no_grad():
        model.model.embed_tokens.weight[9] = float("nan")
    config = replace(FAST, accumulation=2, max_steps=4)
    where = r" \(dialogues d0-3a, d0-3b\)\." if names else r"\."
    expected = r"step 2: loss nan in epoch 0, batch 3" + where + " Lower learning_rate"
    with pytest.raises(TrainingDiverged, match=expected):
        train(model, OneBad(names), config)


def test_divergence_leaves_the_weights_before_the_step(ready):
    model, data, _ = ready
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.transformer.h[0].mlp.c_fc.weight.register_hook(lambda g: g * float("inf"))
    with pytest.raises(
        TrainingDiverged, match=r"gradient norm (inf|nan) in epoch 0, batch 0 \(dia"
    ):
        train(model, data, FAST)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_gradients_of_a_run_that_broke_off_do_not_enter_the_next(three_dialogues):
    model, data = fresh(three_dialogues)
    clean = train(model, data, FAST).values("loss")
    model, data = fresh(three_dialogues)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert train(model, data, FAST).values("loss") == clean


def test_data_without_batches_is_refused(ready):
    model, _, _ = ready

    class Empty:
        def __len__(self) -> int:
            return 0

        def epoch(self, number: int):
            return iter(())

    with pytest.raises(ValueError, match="epoch 0 of the data has no batch"):
        train(model, Empty(), FAST)


# ---- interrupts


def press(record) -> None:
    if record["step"] == 7:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to oneself on Windows")
def test_an_interrupt_saves_the_last_step_and_the_run_goes_on(three_dialogues, tmp_path):
    whole, data = fresh(three_dialogues)
    train(whole, data, FAST)
    config = replace(FAST, checkpoint=str(tmp_path / "run.pt"))
    model, data = fresh(three_dialogues)
    with pytest.raises(KeyboardInterrupt, match=r"after step 7 of 12.*run\.pt.*run the same call"):
        train(model, data, config, on_record=press)
    state = load_checkpoint(config.checkpoint)
    assert state["step"] == 7
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, state["model"][name]), name
    assert not model.training
    resumed, data = fresh(three_dialogues)
    train(resumed, data, config)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to oneself on Windows")
def test_an_interrupt_in_the_middle_of_a_step_waits_for_its_end(three_dialogues, monkeypatch):
    """Pressed between backward and update: the update is whole, and the record is there."""
    model, data = fresh(three_dialogues)
    clip = torch.nn.utils.clip_grad_norm_
    calls = []

    def pressing(*arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return clip(*arguments)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", pressing)
    with pytest.raises(
        TrainingInterrupted, match="after step 3 of 12, the model has these weights"
    ):
        train(model, data, FAST)
    three, data = fresh(three_dialogues)
    train(three, data, replace(FAST, max_steps=3, schedule="constant", warmup_steps=0))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_interrupt_in_a_callback_saves_too(three_dialogues, tmp_path):
    config = replace(FAST, checkpoint=str(tmp_path / "run.pt"))
    model, data = fresh(three_dialogues)

    def callback(record):
        if record["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="after step 4"):
        train(model, data, config, on_record=callback)
    assert load_checkpoint(config.checkpoint)["step"] == 4


def test_half_a_step_is_never_saved(three_dialogues, tmp_path, monkeypatch):
    """A second press comes through at once: what is on disk stays the last whole state."""
    config = replace(FAST, checkpoint=str(tmp_path / "run.pt"), checkpoint_every=2)
    model, data = fresh(three_dialogues)
    step = torch.optim.AdamW.step
    calls = []

    def torn(self, *arguments, **named):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", torn)
    with pytest.raises(TrainingInterrupted, match="in the middle of the next one.*run.pt"):
        train(model, data, config)
    assert load_checkpoint(config.checkpoint)["step"] == 2


# ---- evaluation, records


def modes_of(model, data) -> list[bool]:
    """Whether the model was in training mode at each callback and evaluation of six steps."""
    modes: list[bool] = []

    def look(model) -> dict[str, float]:
        modes.append(model.training)
        return {}

    config = replace(FAST, eval_every=3, max_steps=6)
    train(model, data, config, look, lambda record: modes.append(model.training))
    return modes


def test_evaluation_runs_without_dropout_and_training_goes_on_with_it(ready):
    assert modes_of(*ready[:2]) == [True, True, False, True, True, True, False, True]


def test_dropout_in_evaluation_is_noticed(ready, monkeypatch):
    monkeypatch.setattr(training, "_evaluated", lambda evaluate, model: evaluate(model))
    assert False not in modes_of(*ready[:2])


def test_records_reach_callback_and_log(ready, tmp_path):
    model, data, _ = ready
    seen = []
    config = replace(FAST, log=str(tmp_path / "log.jsonl"), eval_every=5)
    history = train(model, data, config, lambda m: {"eval_loss": 1.0}, seen.append)
    assert seen == history.records
    assert len(Path(config.log or "").read_text().splitlines()) == 12
    assert [step for step, _ in history.values("eval_loss")] == [5, 10, 12]
    assert read_records(config.log or "") == seen


def test_the_log_of_a_resumed_run_has_every_step_once(three_dialogues, tmp_path):
    place = {"checkpoint": str(tmp_path / "run.pt"), "log": str(tmp_path / "log.jsonl")}
    config = replace(FAST, checkpoint_every=5, **place)
    model, data = fresh(three_dialogues)
    with pytest.raises(ZeroDivisionError):
        train(model, data, config, on_record=lambda record: 1 / (8 - record["step"]))
    assert len(read_records(place["log"])) == 8
    model, data = fresh(three_dialogues)
    history = train(model, data, config)
    assert read_records(place["log"]) == history.records
    assert [record["step"] for record in history.records] == list(range(1, 13))


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
