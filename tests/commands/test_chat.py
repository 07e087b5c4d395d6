"""`python -m course_lib chat`: which model it loads and what it passes on."""

from __future__ import annotations

import pytest

from course_lib import assistant, chat
from course_lib.__main__ import main
from tests.tiny import tiny_gpt2


@pytest.fixture
def chats(monkeypatch):
    """The sessions that were opened, with a stand-in for the shop's assistant."""
    opened = []
    monkeypatch.setattr(chat, "terminal_chat", opened.append)
    monkeypatch.setattr(assistant, "shop_assistant", lambda: ("model", "tokenizer"))
    return opened


def test_by_default_the_shops_assistant_answers_greedily(chats):
    assert main(["chat"]) == 0
    assert (chats[0].model, chats[0].sampling.temperature, chats[0].system) == ("model", 0, None)


def test_system_prompt_and_temperature_are_passed_on(chats):
    assert main(["chat", "--system", "Be kind.", "--temperature", "0.7"]) == 0
    assert (chats[0].system, chats[0].sampling.temperature) == ("Be kind.", 0.7)


def test_an_own_checkpoint_is_loaded(chats, tokenizer, tmp_path):
    from course_lib.models import save_model

    save_model(tiny_gpt2(len(tokenizer)), tokenizer, tmp_path)
    assert main(["chat", "--model", str(tmp_path)]) == 0
    assert chats[0].model.config.n_embd == 32


def test_a_folder_without_a_model_is_told_in_one_line(chats, tmp_path, capsys):
    assert main(["chat", "--model", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: ") and "holds no model" in said and said.count("\n") == 1
