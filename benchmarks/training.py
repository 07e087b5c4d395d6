"""Training: course_lib beside transformers.Trainer and TRL's SFTTrainer, from messages to weights.

python benchmarks/training.py                     the table, three seeds each
python benchmarks/training.py --json              the same as one JSON object
python benchmarks/training.py --profile ours      where the time of a step goes
python benchmarks/training.py --conversations 200 --seeds 1 --anyway     a quick look

The job: shop conversations of 30 to 250 tokens as lists of messages; a GPT-2 of 6 layers and 192
numbers a token with random weights; one epoch of SFT on the assistant's tokens. Each job runs in a
process of its own, on two threads; its seconds go from the messages to the last step, imports left
out. Tokens are those of the conversations, so filler counts for nothing. Beside the speed stands
the held-out loss (nats per trained token), mean of the seeds. `share_of_peak` is the arithmetic of
the weights' products (six operations a weight and token, attention left out) over the fastest bf16
product measured in the same run. A run is refused while other processes use the cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

THREADS = 2
SHORTEST, LONGEST = 30, 250  # tokens of a conversation
BUSY = 0.1  # share of the cores that others may use
RATE = 2e-3
Row = dict[str, Any]
Job = Callable[[Any, Any, list[Any], int], None]


# ---- the jobs: (model, tokenizer, dialogues, seed), each trains the model in place


def ours(model: Any, tokenizer: Any, dialogues: list[Any], seed: int) -> None:
    """`course_lib`: packed rows of 256, eight a step."""
    from course_lib.batching import PackedDialogues
    from course_lib.chat_format import encode_all
    from course_lib.training import TrainConfig, train

    rows = PackedDialogues(
        encode_all(dialogues, tokenizer), tokenizer.pad_token_id, 256, 8, seed=seed
    )
    train(model, rows, TrainConfig(learning_rate=RATE, seed=seed))


def trl_default(model: Any, tokenizer: Any, dialogues: list[Any], seed: int) -> None:
    """`SFTTrainer` as it comes (bf16, gradient checkpointing); only the rate is ours."""
    _sft(model, tokenizer, dialogues, seed, {})


def trl_tuned(model: Any, tokenizer: Any, dialogues: list[Any], seed: int) -> None:
    """`SFTTrainer`, packed into rows of 512, four a step, no checkpointing."""
    _sft(
        model,
        tokenizer,
        dialogues,
        seed,
        {
            "packing": True,
            "max_length": 512,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 4,
            "gradient_checkpointing": False,
        },
    )


def trainer_tuned(model: Any, tokenizer: Any, dialogues: list[Any], seed: int) -> None:
    """`Trainer`, sixteen conversations a step grouped by length, bf16."""
    from transformers import Trainer, TrainingArguments

    from course_lib.batching import pad_batch
    from course_lib.chat_format import encode_all

    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            args=TrainingArguments(
                **_settings(folder, seed),
                per_device_train_batch_size=16,
                train_sampling_strategy="group_by_length",
                remove_unused_columns=False,
                bf16=True,
            ),
            train_dataset=[
                {"input_ids": row.ids, "row": row} for row in encode_all(dialogues, tokenizer)
            ],
            data_collator=lambda found: pad_batch(
                [one["row"] for one in found], tokenizer.pad_token_id
            ),
        ).train()


def _sft(
    model: Any, tokenizer: Any, dialogues: list[Any], seed: int, options: dict[str, Any]
) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from course_lib.chat_format import template_messages

    with tempfile.TemporaryDirectory() as folder:
        SFTTrainer(
            model=model,
            args=SFTConfig(**_settings(folder, seed), assistant_only_loss=True, **options),
            train_dataset=Dataset.from_list(
                [{"messages": template_messages(dialogue)} for dialogue in dialogues]
            ),
            processing_class=tokenizer,
        ).train()


def _settings(folder: str, seed: int) -> dict[str, Any]:
    """What all jobs share: one epoch, the rate and its course, nothing logged or written."""
    return {
        "output_dir": folder,
        "num_train_epochs": 1,
        "learning_rate": RATE,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 20,
        "weight_decay": 0.01,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "seed": seed,
        "use_cpu": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


JOBS: dict[str, Job] = {
    "ours": ours,
    "trl_default": trl_default,
    "trl_tuned": trl_tuned,
    "trainer_tuned": trainer_tuned,
}
FUSED = ("ours", "trl_tuned", "trainer_tuned")  # the same function, in one operation


# ---- one job in its process


def run_job(name: str, seed: int, count: int) -> Row:
    """Trains once and measures; call it in a process of its own."""
    import torch

    from course_lib.metrics import held_out_loss

    torch.set_num_threads(THREADS)
    tokenizer, learn, held_out = conversations(count)
    model = new_model(tokenizer, seed, fused=name in FUSED)
    tokens = sum(len(row) for row in encoded(learn, tokenizer))
    started = time.perf_counter()
    JOBS[name](model, tokenizer, learn, seed)
    seconds = time.perf_counter() - started
    model = model.float().eval()
    loss = held_out_loss(model, encoded(held_out, tokenizer), tokenizer.pad_token_id)["eval_loss"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "tokens": tokens, "loss": loss, "peak_mib": peak}


def conversations(count: int) -> tuple[Any, list[Any], list[Any]]:
    """Tokenizer, `count` conversations to learn from, and a tenth as many to measure on."""
    from course_lib.chat_format import prepare_tokenizer
    from course_lib.dialogue import read_dialogues
    from course_lib.journey import SHOP
    from course_lib.models import load_tokenizer

    tokenizer = load_tokenizer()
    prepare_tokenizer(tokenizer)
    fitting: list[list[Any]] = []
    for name, wanted in (("train", count), ("test_iid", max(20, count // 10))):
        found = list(read_dialogues(SHOP / f"{name}.jsonl"))
        sized = zip(found, encoded(found, tokenizer), strict=True)
        fitting.append([d for d, row in sized if SHORTEST <= len(row) <= LONGEST][:wanted])
    return tokenizer, *fitting


def encoded(dialogues: Sequence[Any], tokenizer: Any) -> list[Any]:
    from course_lib.chat_format import encode_all

    return encode_all(dialogues, tokenizer)


def new_model(tokenizer: Any, seed: int, fused: bool = True) -> Any:
    """A GPT-2 of 6 × 192 with random weights and no dropout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=512,
            n_embd=192,
            n_layer=6,
            n_head=3,
            activation_function="gelu_pytorch_tanh" if fused else "gelu_new",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.loss_type = "ForCausalLM"
    return model


# ---- all of them, and what the machine can do


def peak_flops() -> float:
    """Operations a second of the fastest of some bf16 products of the job's own shapes."""
    import torch

    torch.set_num_threads(THREADS)
    best = 0.0
    for rows, inner, columns in ((2048, 192, 768), (2048, 768, 768), (4096, 1024, 1024)):
        a = torch.ones(rows, inner, dtype=torch.bfloat16)
        b = torch.ones(inner, columns, dtype=torch.bfloat16)
        a @ b
        for _ in range(20):
            started = time.perf_counter()
            a @ b
            best = max(best, 2 * rows * inner * columns / (time.perf_counter() - started))
    return best


def weights_in_products() -> int:
    """Weights of the matrices that each token is multiplied with, the output layer included."""
    tokenizer, _, _ = conversations(1)
    model = new_model(tokenizer, 0)
    layers = sum(p.numel() for n, p in model.named_parameters() if ".h." in n and p.dim() == 2)
    return layers + model.get_output_embeddings().weight.numel()


def busy_share(seconds: float = 3.0) -> float:
    """Share of all cores that processes use at present; 0 where the system does not tell."""
    before, after = _ticks(), None
    if before is None:
        return 0.0
    time.sleep(seconds)
    after = _ticks()
    assert after is not None
    total, idle = (now - then for now, then in zip(after, before, strict=True))
    return 1.0 - idle / total


def _ticks() -> tuple[int, int] | None:
    try:
        fields = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return None
    return sum(fields), fields[3] + fields[4]


def job_apart(name: str, seed: int, count: int) -> Row:
    """`run_job` in a fresh process."""
    command = [sys.executable, __file__, "--job", name, "--seed", str(seed)]
    command += ["--conversations", str(count)]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "HF_HUB_OFFLINE": "1"}
    found = subprocess.run(command, capture_output=True, text=True, env=environment)
    if found.returncode:
        raise SystemExit(f"{name}, seed {seed}:\n{found.stderr[-3000:]}")
    row: Row = json.loads(found.stdout.splitlines()[-1])
    return row


def measure(options: argparse.Namespace) -> Row:
    """All jobs, seed by seed, so that a slow minute of the machine meets all of them."""
    rows: dict[str, list[Row]] = {name: [] for name in JOBS}
    peaks = []
    for seed in range(options.seeds):
        for name in JOBS:
            refuse_if_busy(options.anyway)
            rows[name].append(job_apart(name, seed, options.conversations))
            last = rows[name][-1]
            speed = last["tokens"] / last["seconds"]
            print(f"{name}, seed {seed}: {speed:,.0f} tokens/s", file=sys.stderr, flush=True)
        peaks.append(peak_flops())
    return summary(rows, max(peaks), weights_in_products())


def summary(rows: dict[str, list[Row]], peak: float, weights: int) -> Row:
    """Speeds (median of the seeds), ratios, losses, and the share of the peak."""
    speed = {
        n: statistics.median(r["tokens"] / r["seconds"] for r in found) for n, found in rows.items()
    }
    found: Row = dict(speed)
    found |= {f"ratio_{n}": speed["ours"] / speed[n] for n in speed if n != "ours"}
    found["share_of_peak"] = 6 * weights * speed["ours"] / peak
    found["peak_gflops"] = peak / 1e9
    found["loss"] = {n: statistics.mean(r["loss"] for r in runs) for n, runs in rows.items()}
    found["loss_spread"] = {
        n: statistics.stdev(r["loss"] for r in runs) if len(runs) > 1 else math.nan
        for n, runs in rows.items()
    }
    found["peak_mib"] = {n: max(r["peak_mib"] for r in runs) for n, runs in rows.items()}
    return found


def refuse_if_busy(anyway: bool) -> None:
    share = busy_share()
    if share > BUSY and not anyway:
        raise SystemExit(
            f"other processes use {share:.0%} of the cores, so the times would mean nothing; "
            "stop them, or say --anyway for a look at the table"
        )


def table(found: Row) -> str:
    """The figures as readable text."""
    lines = [f"{'job':<15}{'tokens/s':>10}{'ours is':>10}{'loss':>8}{'spread':>8}{'MiB':>8}"]
    for name in JOBS:
        ratio = "" if name == "ours" else f"{found[f'ratio_{name}']:.1f} x"
        lines.append(
            f"{name:<15}{found[name]:>10,.0f}{ratio:>10}{found['loss'][name]:>8.3f}"
            f"{found['loss_spread'][name]:>8.3f}{found['peak_mib'][name]:>8,.0f}"
        )
    share, peak = found["share_of_peak"], found["peak_gflops"]
    lines += ["", f"ours does {share:.0%} of {peak:,.0f} bf16 GFLOP/s in the weights' products"]
    return "\n".join(lines)


def profile(name: str, count: int) -> str:
    """The operations that take the longest in a job, by their own time."""
    import torch

    torch.set_num_threads(THREADS)
    tokenizer, learn, _ = conversations(count)
    model = new_model(tokenizer, 0, fused=name in FUSED)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        JOBS[name](model, tokenizer, learn, 0)
    return found.key_averages().table(sort_by="self_cpu_time_total", row_limit=25)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--conversations", type=int, default=2180)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_argument("--anyway", action="store_true", help="also on a busy machine")
    options.add_argument("--profile", choices=JOBS, help="where a job's time goes")
    options.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    options.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if options.job:
        print(json.dumps(run_job(options.job, options.seed, options.conversations)))
        return
    if options.profile:
        print(profile(options.profile, min(options.conversations, 300)))
        return
    found = measure(options)
    print(json.dumps(found) if options.json else table(found))


if __name__ == "__main__":
    main()
