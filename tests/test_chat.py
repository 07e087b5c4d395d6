"""The chat session and the chat in the terminal, with a fake model."""

from __future__ import annotations

import io

import pytest

from course_lib import chat
from course_lib.chat import ChatSession, terminal_chat


@pytest.fixture
def session(monkeypatch):
    def fake(model, tokenizer, messages, max_new_tokens, sampling):
        yield "You said "
        yield messages[-1]["content"]

    monkeypatch.setattr(chat, "stream", fake)
    return ChatSession(model=None, tokenizer=None)


def test_history_grows_by_both_turns(session):
    assert list(session.ask("hello")) == ["You said ", "hello"]
    "".join(session.ask("again"))
    assert [m["content"] for m in session.messages] == [
        "hello",
        "You said hello",
        "again",
        "You said again",
    ]


def test_reply_leaves_the_sessions_history_alone(session):
    assert "".join(session.reply([{"role": "user", "content": "hi"}])) == "You said hi"
    assert session.messages == []


def test_terminal_chat_streams_clears_and_ends(session, capsys):
    terminal_chat(session, io.StringIO("hello\n/clear\nbye\n\nnever read\n"))
    out = capsys.readouterr().out
    assert "bot> You said hello" in out
    assert "bot> You said bye" in out
    assert "never" not in out
    assert len(session.messages) == 2


def test_terminal_chat_ends_with_its_input(session):
    terminal_chat(session, io.StringIO(""))
    assert session.messages == []
