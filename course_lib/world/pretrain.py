"""Pretrains the course's base model on the shop's own text: `python -m course_lib.world.pretrain`.

Builds the text from its seed, trains a byte-level BPE on it, then a GPT-2 from random weights
with the same `train` that the chapters use. Writes a `transformers` folder and a model card. An
interrupted run goes on from its checkpoint. The text holds no chat format.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from course_lib.batching import Batch
from course_lib.models import BASE_MODEL, count_parameters, save_model
from course_lib.training import History, TrainConfig, train

SEPARATOR = "<|endoftext|>"
VOCABULARY = 4096
HELD_OUT_EVERY = 100  # one document in a hundred is never trained on
# An order number is copied digit by digit. In BPE's pieces, which differ from number to number, a
# small model does not learn to. No text of the pretraining has such a number.
LONG_NUMBER = 7
SHAPE: dict[str, Any] = {"n_positions": 512, "n_embd": 192, "n_layer": 6, "n_head": 3}

PROMPTS = (
    "The Brisa kettle",
    "Before the first use of the Ferrick coffee machine, read this.",
    "Q: How long is the warranty on the Tolvek kettle?\nA:",
    "Dear people at Marrowby,\n",
    "On a rainy morning in spring, Bella",
)


@dataclass(frozen=True, slots=True)
class TextRows:
    """Plain text as training data: shuffled documents in one stream, cut into full rows.

    Every token is trained; `epoch(n)` yields batches of `input_ids` and `labels`, both (B, T).
    """

    documents: Sequence[Sequence[int]]  # token ids, each ending with the separator
    row_length: int = 512
    rows_per_batch: int = 8
    seed: int = 0

    def __len__(self) -> int:
        tokens = sum(len(document) for document in self.documents)
        return tokens // (self.row_length * self.rows_per_batch)

    def epoch(self, number: int) -> Iterator[Batch]:
        order = list(self.documents)
        random.Random(f"{self.seed}/{number}").shuffle(order)
        stream = torch.tensor([token for document in order for token in document])
        shape = (len(self), self.rows_per_batch, self.row_length)
        rows = stream[: shape[0] * shape[1] * shape[2]].view(shape)
        for ids in rows:
            yield {"input_ids": ids, "labels": ids}


def train_tokenizer(texts: Sequence[str], vocabulary: int = VOCABULARY) -> Any:
    """A byte-level BPE in GPT-2's manner, trained on `texts`, as a `transformers` tokenizer.

    Every digit of a long number (`LONG_NUMBER`) is a token of its own.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_digits_of(LONG_NUMBER)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=SEPARATOR,
        eos_token=SEPARATOR,
        model_max_length=SHAPE["n_positions"],
    )


def _digits_of(length: int) -> str:
    """A pattern that finds single digits, but only in numbers of so many digits or more.

    One case for each place that a digit can have among `length` neighbours: looking back over a
    number of any length is more than a regular expression can do.
    """
    places = range(length)
    return "|".join(f"(?<=\\d{{{i}}})\\d(?=\\d{{{length - 1 - i}}})" for i in places)


def new_model(tokenizer: Any, seed: int) -> Any:
    """A GPT-2 of the course's shape with random weights (GPT-2's own initialisation)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(tokenizer),
        **SHAPE,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    return GPT2LMHeadModel(config)


def split_documents(documents: Sequence[str]) -> tuple[list[str], list[str]]:
    """Training documents and every hundredth one, held out to watch the loss."""
    held_out = [text for i, text in enumerate(documents) if i % HELD_OUT_EVERY == 0]
    rest = [text for i, text in enumerate(documents) if i % HELD_OUT_EVERY]
    return rest, held_out


def encode_documents(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Token ids of each document, the separator at the end."""
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return [[*ids, tokenizer.eos_token_id] for ids in encoded]


@torch.no_grad()
def text_loss(model: Any, data: TextRows) -> dict[str, float]:
    """Mean loss in nats per token on held-out text."""
    model.eval()
    losses = [model(**batch).loss.item() for batch in data.epoch(0)]
    return {"eval_loss": sum(losses) / len(losses)}


def corpus_documents(seed: int) -> list[str]:
    from course_lib.world.catalogue import load_catalogue
    from course_lib.world.corpus import build_corpus

    return list(build_corpus(load_catalogue(), seed))


def hash_of(documents: Sequence[str]) -> str:
    """sha256 over the documents in order, each followed by the separator."""
    digest = hashlib.sha256()
    for text in documents:
        digest.update(f"{text}{SEPARATOR}".encode())
    return digest.hexdigest()


def pretrain(arguments: argparse.Namespace) -> History:
    """Text, tokenizer, training, files: the whole of it."""
    documents = corpus_documents(arguments.seed)
    trained, held_out = split_documents(documents)
    tokenizer = train_tokenizer(trained)
    data = TextRows(encode_documents(trained, tokenizer), seed=arguments.seed)
    watched = TextRows(encode_documents(held_out, tokenizer), rows_per_batch=4)
    model = new_model(tokenizer, arguments.seed).to(arguments.device)
    config = TrainConfig(
        epochs=arguments.epochs,
        max_steps=arguments.steps,
        learning_rate=4e-3,
        optimizer="muon",
        warmup_steps=100,
        weight_decay=0.1,
        eval_every=200,
        seed=arguments.seed,
        checkpoint=str(arguments.checkpoint),
    )
    history = train(model, data, config, lambda m: text_loss(m, watched), _show_progress)
    save_model(model.cpu(), tokenizer, arguments.out, half=True)
    write_card(arguments.out, documents, data, model, tokenizer, history, config, arguments.device)
    return history


def _show_progress(record: dict[str, Any]) -> None:
    if record["step"] % 20 == 0 or "eval_loss" in record:
        held_out = f", held out {record['eval_loss']:.3f}" if "eval_loss" in record else ""
        speed = record["tokens"] / record["seconds"]
        print(
            f"step {record['step']}: loss {record['loss']:.3f}{held_out}, {speed:,.0f} tokens/s",
            file=sys.stderr,
            flush=True,
        )


@torch.no_grad()
def samples(model: Any, tokenizer: Any, prompts: Sequence[str] = PROMPTS) -> list[list[str]]:
    """[prompt, continuation] for each prompt: sampled at temperature 0.7, seeded, 80 tokens."""
    model.eval()
    continued = []
    for number, prompt in enumerate(prompts):
        torch.manual_seed(number)
        ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
        room = model.config.n_positions - ids.shape[1]
        settings = {"do_sample": True, "temperature": 0.7, "top_k": 0}
        whole = model.generate(
            ids, **settings, max_new_tokens=min(80, room), pad_token_id=tokenizer.eos_token_id
        )
        new = whole[0, ids.shape[1] :]
        continued.append([prompt, tokenizer.decode(new, skip_special_tokens=True)])
    return continued


def write_card(
    out: Path,
    documents: Sequence[str],
    data: TextRows,
    model: Any,
    tokenizer: Any,
    history: History,
    config: TrainConfig,
    device: str,
) -> None:
    """Model card (README.md) and its figures (pretraining.json)."""
    tokens = sum(len(document) for document in data.documents)
    figures = {
        "documents": len(documents),
        "words": sum(len(text.split()) for text in documents),
        "tokens_in_one_epoch": tokens,
        "tokens_seen": sum(record["tokens"] for record in history.records),
        "corpus_sha256": hash_of(documents),
        "parameters": count_parameters(model),
        "seconds": round(history.seconds),
        "device": device if device != "cpu" else f"cpu, {torch.get_num_threads()} threads",
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "steps": len(history.records),
        "optimizer": config.optimizer,
        "learning_rate": config.learning_rate,
        "held_out_loss": [[s, round(loss, 4)] for s, loss in history.values("eval_loss")],
        "samples": samples(model, tokenizer),
    }
    (out / "pretraining.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(card_text(figures), encoding="utf-8")


def card_text(figures: dict[str, Any]) -> str:
    """The model card in Markdown, every number from `figures`."""
    curve = "\n".join(f"| {step:,} | {loss:.3f} |" for step, loss in figures["held_out_loss"])
    shape = ", ".join(f"{name} {value}" for name, value in SHAPE.items())
    told = "\n\n---\n\n".join(_quoted(prompt, text) for prompt, text in figures["samples"])
    return f"""# The course's base model

A GPT-2 ({shape}; {figures["parameters"]:,} parameters, byte-level BPE of {VOCABULARY:,}) that
knows one thing: the offline shop. It was pretrained from random weights on the text that
`course_lib.world.corpus` writes, and on nothing else, so we know every sentence it saw. The text
has no chat format: the form of a dialogue is learned in fine-tuning alone.

The tokenizer cuts numbers of {LONG_NUMBER} digits and more (order numbers, telephones) into single
digits, which a small model can copy. The text has no such number.

It continues text. It is no assistant, knows nothing of the world outside the shop, and should
serve no purpose but learning.

| | |
|---|---|
| documents | {figures["documents"]:,} |
| words | {figures["words"]:,} |
| tokens in one epoch | {figures["tokens_in_one_epoch"]:,} |
| tokens seen in training | {figures["tokens_seen"]:,} |
| sha256 of the text | `{figures["corpus_sha256"]}` |
| optimiser | {figures["optimizer"]} |
| steps, peak learning rate | {figures["steps"]:,}, {figures["learning_rate"]} |
| device, time | {figures["device"]}, {figures["seconds"] / 60:.0f} minutes |
| torch, Python | {figures["torch"]}, {figures["python"]} |

Loss on held-out documents (every {HELD_OUT_EVERY}th), nats per token:

| step | loss |
|---|---|
{curve}

The weights are stored in 16 bits (fp16) and load as 32.

## What it writes

Sampled at temperature 0.7 from the seeds 0, 1, 2 ...; the prompt in bold.

{told}

Made again by `python -m course_lib.world.pretrain`. Licence: CC BY 4.0.
"""


def _quoted(prompt: str, text: str) -> str:
    """A Markdown quotation, line by line, the prompt's last line in bold."""
    *before, last = prompt.split("\n")
    lines = "\n".join([*before, (f"**{last}**" if last else "") + text]).split("\n")
    return "\n".join(f"> {line.rstrip()}  ".rstrip("\n") for line in lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=BASE_MODEL)
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--steps", type=int, help="optimiser steps, instead of --epochs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--checkpoint", type=Path, default=Path("_build/pretrain.pt"))
    pretrain(parser.parse_args(argv))


if __name__ == "__main__":
    main()
