"""What cleaning is worth: one small model on raw, cleaned and ideal data, measured side by side.

This module stands on the scorer's side: `ideal_dialogues` reads the ledger of the planted defects.
No step of the cleaning imports it, and nothing here is used to choose a setting of the cleaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from course_lib.annotation.scores import Interval, bootstrap, bootstrap_difference
from course_lib.batching import IGNORE, PackedDialogues, pad_batch, truncate_all
from course_lib.chat_format import encode_all
from course_lib.cleaning import CleaningConfig, contact_key, find_personal_data
from course_lib.cleaning_score import MENDED, read_ledger
from course_lib.dialogue import Dialogue, Message
from course_lib.generation import History, context_length, fitting_prompt
from course_lib.metrics import FactQuestion
from course_lib.training import Record, train
from course_lib.transfer import Run, Share, ask, config_from, new_model

STEPS = 150
ROW_LENGTH = 256  # tokens; the same for all data, so that every run sees as many
CONTACTS = ("[EMAIL]", "[PHONE]", "[CARD]", "[IBAN]")
FOREIGN = "Leider kann ich Ihnen dabei heute nicht helfen, es tut mir sehr leid."
# The steps of the cleaning that judge one reply by itself, and what they say about it.
READ_BY = {
    "empty": "drop_empty_turns",
    "damaged text": "repair_text",
    "another language": "check_language",
    "a loop": "drop_loops",
}
FAULTS = (*READ_BY, "breaks off", "personal data")
DAMAGES = ("sound", "markup", "cut short", "loop", "foreign")

Losses = np.ndarray  # (D, 2): of each dialogue the nats on its trained tokens, and their number


# ---- three data sets and three runs


def ideal_dialogues(raw: Iterable[Dialogue], ledger: str | Path) -> list[Dialogue]:
    """What a perfect cleaning would leave of raw logs whose planted defects the ledger names.

    Lines to drop are gone; lines to repair, redact or merge have the texts that the ledger expects
    (without annotations, of which it says nothing); all others stay as they are.
    """
    named = {entry["id"]: entry for entry in read_ledger(ledger)}
    ideal = []
    for dialogue in raw:
        entry = named.get(dialogue.id, {"action": "keep"})
        if entry["action"] in MENDED:
            ideal.append(_mended(dialogue, entry["expect"]))
        elif entry["action"] != "drop":
            ideal.append(dialogue)
    return ideal


def _mended(dialogue: Dialogue, texts: Sequence[str]) -> Dialogue:
    """The dialogue with the expected texts; of one message too many, the one that fits least goes.

    Raises ValueError where the numbers of messages do not allow it.
    """
    roles = [message.role for message in dialogue.messages]
    said = [message.content for message in dialogue.messages]
    if len(roles) == len(texts) + 1:
        del roles[max(range(len(roles)), key=lambda n: _alike(said[:n] + said[n + 1 :], texts))]
    if len(roles) != len(texts):
        raise ValueError(
            f"dialogue {dialogue.id!r} has {len(said)} messages, the ledger expects {len(texts)}"
        )
    messages = [Message(role, text) for role, text in zip(roles, texts, strict=True)]
    return replace(dialogue, messages=messages)


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(a == b for a, b in zip(one, other, strict=True))


def tune_on(
    dialogues: Sequence[Dialogue],
    steps: int = STEPS,
    seed: int = 0,
    on_record: Callable[[Record], None] | None = None,
) -> Run:
    """Fine-tunes a fresh base model; the same steps on rows of the same length for any data."""
    model, tokenizer = new_model("base", seed)
    encoded, _ = truncate_all(encode_all(dialogues, tokenizer), ROW_LENGTH)
    rows = PackedDialogues(encoded, tokenizer.pad_token_id, ROW_LENGTH, seed=seed)
    config = config_from("base", tokenizer, steps, seed)
    history = train(model, rows, config, on_record=on_record)
    return Run("base", len(dialogues), model, tokenizer, history)


def trained_tokens(run: Run) -> int:
    """How many tokens the run was trained on, over all its steps."""
    return sum(record["tokens"] for record in run.history.records)


# ---- how surprised a model is


@torch.no_grad()
def dialogue_losses(run: Run, dialogues: Sequence[Dialogue], rows: int = 16) -> Losses:
    """(D, 2): for each dialogue the nats on its trained tokens, and how many these are."""
    run.model.eval()
    limit = min(ROW_LENGTH, context_length(run.model))
    encoded, _ = truncate_all(encode_all(dialogues, run.tokenizer), limit)
    found: list[tuple[float, float]] = []
    for start in range(0, len(encoded), rows):
        batch = pad_batch(encoded[start : start + rows], run.tokenizer.pad_token_id)
        labels = batch.pop("labels")[:, 1:]  # (B, T - 1)
        logits = run.model(**batch).logits[:, :-1].float()  # (B, T - 1, V)
        nats = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="none"
        )
        sums = nats.view_as(labels).sum(1).tolist()
        found += zip(sums, (labels != IGNORE).sum(1).tolist(), strict=True)
    return np.array(found)


def nats_per_token(sums: np.ndarray) -> np.ndarray:
    """(..., 2) sums of nats and tokens -> loss; a measure that `bootstrap` takes."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def loss(losses: Losses) -> Interval:
    """Nats per trained token, with an interval over resampled dialogues."""
    return bootstrap(losses, nats_per_token)


def loss_difference(one: Losses, other: Losses) -> Interval:
    """How much higher the first loss is, on the same dialogues resampled together."""
    return bootstrap_difference(one, other, nats_per_token)


@dataclass(frozen=True, slots=True)
class Measured:
    """Runs measured on the same dialogues and questions; `str()` is the table."""

    losses: dict[str, Losses]
    facts: dict[str, Share]

    def difference(self, one: str, other: str) -> Interval:
        """How much higher the first run's loss is than the second's."""
        return loss_difference(self.losses[one], self.losses[other])

    def __str__(self) -> str:
        names = list(self.losses)
        lines = [
            f"{name:<9}loss {loss(self.losses[name])}   exact facts {self.facts[name]}"
            for name in names
        ]
        for one, other in zip(names, names[1:], strict=False):
            lines.append(f"loss, {one} minus {other}: {self.difference(one, other)}")
        return "\n".join(lines)


def measure_runs(
    runs: Mapping[str, Run], held_out: Sequence[Dialogue], questions: Sequence[FactQuestion]
) -> Measured:
    """Held-out loss and exact facts of each run."""
    losses = {name: dialogue_losses(run, held_out) for name, run in runs.items()}
    facts = {name: ask(run.model, run.tokenizer, questions)[0] for name, run in runs.items()}
    return Measured(losses, facts)


# ---- damaged replies, on which a model that was never shown any should be surprised


def exchanges(dialogues: Iterable[Dialogue], fewest_words: int = 6) -> list[Dialogue]:
    """Each dialogue up to its first reply to a customer of so many words; only that is trained."""
    found = []
    for dialogue in dialogues:
        for turn, message in enumerate(dialogue.messages):
            long = len(message.content.split()) >= fewest_words
            if turn and message.role == "assistant" and long:
                before = [replace(m, train=False) for m in dialogue.messages[:turn]]
                found.append(replace(dialogue, messages=[*before, message]))
                break
    return found


def damaged(reply: str) -> dict[str, str]:
    """A reply as it is, and damaged in the ways of raw logs; the keys are `DAMAGES`."""
    words = reply.split()
    half = " ".join(words[: len(words) // 2])
    made = (reply, f"<p>{reply}</p>", half, " ".join([reply] * 5), FOREIGN)
    return dict(zip(DAMAGES, made, strict=True))


def probes(found: Iterable[Dialogue]) -> dict[str, list[Dialogue]]:
    """Every exchange once for each of `DAMAGES`, its last reply damaged so."""
    sets: dict[str, list[Dialogue]] = {name: [] for name in DAMAGES}
    for dialogue in found:
        *before, last = dialogue.messages
        for name, text in damaged(last.content).items():
            messages = [*before, Message("assistant", text)]
            sets[name].append(replace(dialogue, messages=messages))
    return sets


def surprise(runs: Mapping[str, Run], found: Iterable[Dialogue]) -> dict[str, dict[str, Interval]]:
    """{damage: {run: nats per token of the damaged replies}}, for exchanges that were found."""
    return {
        damage: {name: loss(dialogue_losses(run, dialogues)) for name, run in runs.items()}
        for damage, dialogues in probes(found).items()
    }


# ---- what a model says


@torch.no_grad()
def drawn_replies(
    run: Run,
    histories: Sequence[History],
    seed: int = 0,
    max_new_tokens: int = 48,
    batch_size: int = 128,
) -> list[str]:
    """One reply to each history, every token drawn from the model's own distribution.

    Greedy replies show the likeliest words only; drawn ones also what the model says now and then.
    """
    run.model.eval()
    limit = context_length(run.model) - max_new_tokens
    prompts = [torch.tensor(fitting_prompt(h, run.tokenizer, limit)) for h in histories]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # little padding
    replies = [""] * len(prompts)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            said = _drawn_batch(run, [prompts[i] for i in chosen], max_new_tokens)
            for i, reply in zip(chosen, said, strict=True):
                replies[i] = reply
    return replies


def _drawn_batch(run: Run, prompts: Sequence[torch.Tensor], max_new_tokens: int) -> list[str]:
    pad, end = run.tokenizer.pad_token_id, run.tokenizer.eos_token_id
    ids = pad_sequence(list(prompts), True, pad, padding_side="left")  # (B, T), flush right
    seen = pad_sequence([torch.ones_like(one) for one in prompts], True, 0, padding_side="left")
    out = run.model.generate(
        input_ids=ids,
        attention_mask=seen,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_new_tokens,
        eos_token_id=end,
        pad_token_id=pad,
    )
    said = run.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
    return list(said)


def faults(reply: str, allow: Iterable[str] = ()) -> list[str]:
    """What is wrong with a reply at first sight, some of `FAULTS`: the cleaning's steps judge it.

    `allow`: contacts that may stand in a reply, such as the shop's own hotline.
    """
    dialogue = Dialogue("reply", [Message("user", "Hello?"), Message("assistant", reply)])
    found = [name for name, step in READ_BY.items() if _acts(step, dialogue)]
    if reply.strip() and reply.strip()[-1].isalnum():
        found.append("breaks off")
    allowed = {contact_key(contact) for contact in allow}
    personal = [item for item in find_personal_data(reply) if item.placeholder in CONTACTS]
    if any(item.key not in allowed for item in personal):
        found.append("personal data")
    return found


def _acts(step: str, dialogue: Dialogue) -> bool:
    """Whether the step changes the dialogue or sets it aside."""
    (judge,) = CleaningConfig(steps=(step,)).dialogue_steps()
    return judge(dialogue)[0] != dialogue


def faulty_share(replies: Sequence[str], allow: Iterable[str] = ()) -> Share:
    """The share of replies with at least one fault."""
    allow = tuple(allow)
    return Share(sum(bool(faults(reply, allow)) for reply in replies), len(replies))


def faults_by_kind(
    replies: Mapping[str, Sequence[str]], allow: Iterable[str] = ()
) -> dict[str, dict[str, Share]]:
    """{fault: {model: share of its replies}}, for a plot; faults that no model shows are left out.

    `replies` holds each model's replies.
    """
    allow = tuple(allow)
    found = {name: [faults(reply, allow) for reply in said] for name, said in replies.items()}
    shares = {
        fault: {n: Share(sum(fault in f for f in each), len(each)) for n, each in found.items()}
        for fault in FAULTS
    }
    return {fault: row for fault, row in shares.items() if any(s.right for s in row.values())}


def customers_turns(dialogues: Iterable[Dialogue]) -> list[list[dict[str, Any]]]:
    """The history up to each of the customer's turns: what a model is asked to answer."""
    return [
        dialogue.to_messages()[: turn + 1]
        for dialogue in dialogues
        for turn, message in enumerate(dialogue.messages)
        if message.role == "user"
    ]
