"""The kept assistant: trained once, loaded afterwards, made anew when its sources changed."""

from __future__ import annotations

import shutil

import pytest
import torch

import course_lib.assistant as assistant
from course_lib.assistant import SHIPPED, made_from, shop_assistant
from course_lib.generation import generate
from course_lib.models import BASE_MODEL


@pytest.fixture
def few_dialogues(monkeypatch):
    """17,000 further dialogues take half a minute to write."""
    monkeypatch.setattr(assistant, "FURTHER_DIALOGUES", 60)


@pytest.fixture
def trainings(monkeypatch, few_dialogues):
    """The steps of each training that was begun."""
    begun = []
    real = assistant.tune

    def counted(model, tokenizer, dialogues, config, *more, **named):
        begun.append(config.max_steps)
        return real(model, tokenizer, dialogues[:40], config, *more, **named)

    monkeypatch.setattr(assistant, "tune", counted)
    return begun


def test_it_is_trained_once_and_then_loaded(tmp_path, trainings):
    first, tokenizer = shop_assistant(tmp_path / "kept", max_steps=2)
    second, _ = shop_assistant(tmp_path / "kept", max_steps=2)
    assert trainings == [2]
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert tokenizer.convert_tokens_to_ids("<|assistant|>") >= 4096
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_another_recipe_is_another_assistant(tmp_path, trainings):
    shop_assistant(tmp_path / "kept", max_steps=1)
    (tmp_path / "kept" / "README.md").write_text("a card, written by hand", encoding="utf-8")
    shop_assistant(tmp_path / "kept", max_steps=2)
    assert trainings == [1, 2]
    assert (tmp_path / "kept" / "README.md").read_text(encoding="utf-8").startswith("a card")


def test_anew_takes_the_place_of_one_that_is_ready(tmp_path, trainings):
    shop_assistant(tmp_path / "kept", max_steps=1)
    (tmp_path / "kept" / "old").touch()
    shop_assistant(tmp_path / "kept", max_steps=1, anew=True)
    assert trainings == [1, 1] and not (tmp_path / "kept" / "old").exists()


def test_a_training_that_breaks_off_leaves_nothing_behind(tmp_path, monkeypatch, few_dialogues):
    def broken(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(assistant, "save_model", broken)
    with pytest.raises(KeyboardInterrupt):
        shop_assistant(tmp_path / "kept", max_steps=1)
    assert not list(tmp_path.iterdir())


def test_the_shipped_one_is_made_from_what_lies_here():
    """Whoever changes recipe, dialogues or base model runs `python -m course_lib.assistant`."""
    assert (SHIPPED / "made_from.txt").read_text(encoding="utf-8") == made_from()


def test_it_practises_the_training_dialogues_and_further_ones(few_dialogues):
    dialogues = assistant.practised()
    ids = [dialogue.id for dialogue in dialogues]
    assert len(ids) == 6060 == len(set(ids))
    assert ids[0].startswith("shop-train-") and ids[-1].startswith("further-")
    assert len(assistant.practised(20)) == 6020


def test_without_a_folder_the_shipped_one_is_loaded(monkeypatch):
    monkeypatch.setattr(assistant, "tune", None)  # so that nothing can be trained
    model, tokenizer = shop_assistant()
    assert generate(model, tokenizer, [[{"role": "user", "content": "Thank you!"}]])[0]


def test_another_base_model_gets_an_assistant_of_its_own(tmp_path, trainings, monkeypatch):
    monkeypatch.setenv("COURSE_BASE_MODEL", str(shutil.copytree(BASE_MODEL, tmp_path / "base")))
    monkeypatch.setattr(assistant, "OWN", tmp_path / "own")
    shop_assistant(max_steps=1)
    assert trainings == [1] and (tmp_path / "own" / "config.json").is_file()


def test_only_our_own_base_model_reads_its_text_again(monkeypatch):
    """Of another base's text there is none, and the shop's would be new to it."""
    _, tokenizer = shop_assistant()
    monkeypatch.setattr(assistant, "REPLAYED", 2_000)
    pieces = assistant._replayed(tokenizer)
    assert 2_000 < sum(len(piece) for piece in pieces) < 6_000
    monkeypatch.setenv("COURSE_BASE_MODEL", "gpt2")
    assert assistant._replayed(tokenizer) == []
