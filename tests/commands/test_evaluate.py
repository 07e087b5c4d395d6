"""`python -m course_lib evaluate` prints the table as text, JSON and Markdown."""

from __future__ import annotations

import json

import pytest

from course_lib.__main__ import main
from course_lib.journey import SHOP
from course_lib.models import prepare_for_chat, save_model
from tests.kinds import KINDS
from tests.tiny import tiny_llama


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The first dialogues of two of the shop's sets, and some to learn acts from."""
    folder = tmp_path_factory.mktemp("data")
    for name, count in (("test_iid", 3), ("out_of_scope", 3), ("dev", 120)):
        lines = (SHOP / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")[:count]
        target = "train" if name == "dev" else name
        (folder / f"{target}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    model, tokenizer = prepare_for_chat(tiny_llama(), KINDS["gpt2"]())
    return save_model(model, tokenizer, tmp_path_factory.mktemp("model"))


def call(checkpoint, data, *options):
    sets = ["--sets", "test_iid", "out_of_scope"]
    return main(
        ["evaluate", str(checkpoint), "--data", str(data), "--new-tokens", "3", *sets, *options]
    )


def test_text_json_and_markdown_say_the_same(checkpoint, data, capsys):
    assert call(checkpoint, data, "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert set(found["sets"]) == {"test_iid", "out_of_scope"}
    assert "out-of-scope recall" in found["sets"]["out_of_scope"]
    assert "test_iid: " in err  # progress goes where it spoils no result
    loss = found["sets"]["test_iid"]["loss"]
    assert loss["low"] <= loss["value"] <= loss["high"]
    call(checkpoint, data, "--markdown")
    assert f"{loss['value']:.3f} ({loss['low']:.3f}" in capsys.readouterr().out
    call(checkpoint, data)
    assert f"{loss['value']:.3f}" in capsys.readouterr().out


def test_without_annotated_training_data_acts_are_left_out(checkpoint, data, tmp_path, capsys):
    one = tmp_path / "test_iid.jsonl"
    one.write_text((data / "test_iid.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    arguments = ["evaluate", str(checkpoint), "--data", str(tmp_path), "--sets", "test_iid"]
    assert main([*arguments, "--new-tokens", "2", "--dialogues", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "acts are not measured" in err
    assert "ask F1" not in json.loads(out)["sets"]["test_iid"]


def test_mistakes_are_told_in_one_line(checkpoint, data, tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), "--data", str(data), "--sets", "test_iid"]) == 1
    assert "holds no config.json" in capsys.readouterr().err
    assert main(["evaluate", str(checkpoint), "--data", str(data), "--sets", "none"]) == 1
    assert "none.jsonl" in capsys.readouterr().err
