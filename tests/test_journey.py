"""The whole journey: the demo's figures on the shop, and the same journey on real dialogues."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from course_lib import journey
from course_lib.batching import PackedDialogues
from course_lib.chat_format import Encoded, encode_texts
from course_lib.dialogue import DialogueError
from course_lib.journey import Journey, clean_journey, real_journey, shop_journey, tune
from course_lib.models import load_base, prepare_for_chat
from course_lib.training import TrainConfig
from tests.tiny import ROOT, toy_dialogues


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The demo in a process of its own, as `course.py demo` calls it."""
    return subprocess.run(
        [sys.executable, "-m", "course_lib", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "COURSE_INSTALL_SECONDS": "1.5"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=900,
    )


@pytest.mark.slow
def test_demo_on_the_shop_prints_one_object_and_tuned_is_far_ahead():
    done = demo("--json")
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout)
    assert set(figures) == {"base", "tuned", "scratch", "seconds"}
    for name in ("base", "tuned", "scratch"):
        assert set(figures[name]) == {"loss", "facts_seen", "facts_held_out"}
    assert set(figures["seconds"]) == {"install", "clean", "train", "evaluate"}
    assert figures["seconds"]["install"] == 1.5
    base, tuned, scratch = (figures[name] for name in ("base", "tuned", "scratch"))
    assert tuned["loss"] < min(base["loss"], scratch["loss"]) - 0.2
    for facts in ("facts_seen", "facts_held_out"):
        assert tuned[facts] > max(base[facts], scratch[facts]) + 0.2


@pytest.mark.slow
def test_demo_on_real_dialogues(samples):
    path = samples / "sgd" / "train" / "dialogues_003.json"
    done = demo("--json", "--source", "sgd", "--path", str(path))
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout)
    assert figures["tuned"]["loss"] < figures["base"]["loss"]
    assert figures["scratch"]["loss"] < figures["untrained"]["loss"]
    assert figures["tuned"]["loss"] < figures["scratch"]["loss"]
    assert all(set(sample) == {"user", "gold", "model"} for sample in figures["samples"])
    assert len(figures["samples"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "sgd"), "--source sgd needs --path"),
        (("--source", "sgd", "--path", "no/such/folder"), "no such file or folder"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, message):
    done = demo("--json", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_shop_journey_counts_add_up():
    journey = shop_journey()
    report = clean_journey(journey)
    lines = (ROOT / "data/shop/raw.jsonl").read_bytes().count(b"\n")
    assert len(journey.raw) + len(journey.unreadable) == lines
    assert len(report.kept) + len(report.rejected) == lines
    assert journey.seconds["clean"] > 0


def test_facts_are_asked_of_the_right_products():
    from course_lib.world.catalogue import load_catalogue

    held_out = {p.full_name for p in load_catalogue().products if p.held_out}
    journey = shop_journey()
    assert journey.facts_seen and journey.facts_held_out

    def names(questions):
        texts = [m["content"].lower() for q in questions for m in q.history]
        return {name for name in held_out if any(name.split()[0].lower() in t for t in texts)}

    assert not names(journey.facts_seen)
    assert names(journey.facts_held_out)


def test_a_leak_into_training_is_taken_out():
    """The safeguard bites: a held-out dialogue planted in the raw ones does not get through."""
    dialogues = toy_dialogues()
    journey = Journey("toy", dialogues, [], dialogues[:1], guarded=dialogues[1:2])
    kept = {dialogue.id for dialogue in clean_journey(journey).kept}
    assert kept == {"d3"}


def test_real_dialogues_are_split_by_family(samples):
    journey = real_journey("sgd", samples / "sgd" / "train" / "dialogues_003.json")
    again = real_journey("sgd", samples / "sgd" / "train" / "dialogues_003.json")
    trained = {d.family_id for d in journey.raw}
    assert not trained & {d.family_id for d in journey.held_out}
    assert [d.id for d in journey.held_out] == [d.id for d in again.held_out]
    assert 0.05 < len(journey.held_out) / len(journey.raw) < 0.2


def test_one_dialogue_is_too_few(samples):
    with pytest.raises(DialogueError, match="too few"):
        real_journey("abcd", samples / "abcd" / "abcd_sample.json", limit=1)


@pytest.mark.parametrize(("dialogues", "steps"), [(3, 8), (100, 56), (1600, 200)])
def test_small_data_gets_more_epochs_but_not_without_end(dialogues, steps):
    """One row of 256 tokens holds four of these; 4 rows make a step."""
    from course_lib.batching import PackedDialogues
    from course_lib.chat_format import Encoded
    from course_lib.journey import _long_enough
    from course_lib.training import total_steps

    toy = [Encoded([1] * 64, [True] * 64, str(i), [(0, 64)]) for i in range(dialogues)]
    rows = PackedDialogues(toy, pad_id=0)
    config = TrainConfig(epochs=2.0)
    assert total_steps(rows, _long_enough(config, rows)) == pytest.approx(steps, rel=0.15)


def test_replayed_text_is_packed_among_the_dialogues(monkeypatch):
    """Every token of it is trained, and without it none of it is there."""
    seen: list[list[Encoded]] = []

    def watched(dialogues, *more, **named):
        seen.append(list(dialogues))
        return PackedDialogues(dialogues, *more, **named)

    monkeypatch.setattr(journey, "PackedDialogues", watched)
    model, tokenizer = prepare_for_chat(*load_base())
    text, long = encode_texts(["The kettle is red.", "word " * 400], tokenizer)
    config = replace(journey.RECIPE, max_steps=1)
    for replay in ([text, long], []):
        tune(model, tokenizer, toy_dialogues(), config, replay=replay)
    assert seen[0][-1] == text and all(text.mask[1:])
    assert seen[0][:-1] == seen[1]  # the long piece does not fit into a row
