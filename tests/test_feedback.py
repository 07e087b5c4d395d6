"""Feedback as dialogues: written line by line, read back by chapter 02's reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from course_lib.chat_format import encode
from course_lib.dialogue import DialogueError, read_dialogues
from course_lib.feedback import FeedbackLog, read_feedback
from course_lib.sources import read_source
from tests.tiny import ROOT

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Does it leak?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Really?"},
    {"role": "assistant", "content": "Forty litres."},
]


@pytest.fixture
def log(tmp_path):
    return FeedbackLog(tmp_path / "folder" / "ana.jsonl")


def test_every_click_is_a_whole_line_at_once(log):
    for number, click in enumerate((log.like, log.dislike), start=1):
        click(TALK)
        lines = log.path.read_text(encoding="utf-8").splitlines()
        assert len(lines) == number and all(json.loads(line) for line in lines)


def test_chapter_02_reads_the_file_back(log):
    written = [log.like(TALK), log.dislike(TALK), log.correct(TALK, " No, it does not. ")]
    assert list(read_dialogues(log.path)) == written
    assert list(read_source("shop", log.path)) == written
    assert [d.id for d in written] == ["ana-00001", "ana-00002", "ana-00003"]
    assert len({d.family_id for d in written}) == 1  # one conversation never crosses a split


def test_only_what_may_be_learned_is_trained(log, tokenizer):
    liked, disliked = log.like(TALK), log.dislike(TALK)
    corrected = log.correct(TALK, "No.")
    trained = [tokenizer.decode(encode(d, tokenizer).trained_ids) for d in (liked, corrected)]
    assert trained == ["Forty litres.<|end|>", "No.<|end|>"]
    assert not any(encode(disliked, tokenizer).mask)


def test_a_correction_keeps_what_was_said_instead(log):
    corrected = log.correct(TALK, "No.")
    assert corrected.messages[-1].content == "No."
    assert corrected.goal == {"slots": {"instead_of": "Forty litres."}}
    assert corrected.policy["outcome"] == "corrected"


def test_feedback_is_sorted_and_the_last_correction_counts(log):
    log.like(TALK)
    log.dislike(TALK)
    log.correct(TALK, "No.")
    last = log.correct(TALK, "Not at all.")
    found = read_feedback(log.path)
    assert found.corrected == [last]
    assert str(found) == "1 liked, 1 disliked, 1 corrected"


def test_a_file_of_something_else_is_refused(log):
    log.like(TALK)
    line = log.path.read_text(encoding="utf-8").replace("liked", "answered")
    log.path.write_text(line, encoding="utf-8")
    with pytest.raises(DialogueError, match="no feedback"):
        read_feedback(log.path)


def test_half_a_line_spoils_no_other(log):
    first = log.like(TALK)
    with log.path.open("ab") as file:
        file.write(b'{"id": "ana-000')
    second = log.dislike(TALK)
    rejects = []
    assert list(read_dialogues(log.path, rejects)) == [first, second]
    assert len(rejects) == 1
    assert str(read_feedback(log.path)) == "1 liked, 1 disliked, 0 corrected"


@pytest.mark.parametrize("talk", [[], TALK[:2]], ids=["empty", "a question"])
def test_without_a_reply_there_is_nothing_to_judge(log, talk):
    for click in (log.like, log.dislike, lambda talk: log.correct(talk, "No.")):
        with pytest.raises(ValueError, match="no reply to judge"):
            click(talk)
    assert not log.path.exists()


def test_an_empty_correction_is_refused(log):
    with pytest.raises(ValueError, match="empty"):
        log.correct(TALK, "  ")
    assert not log.path.exists()


@pytest.mark.parametrize(
    "text", ["half \ud800 pair", "\x00", "<|end|>", "a\nb\u2028c", "x" * 100_000]
)
def test_hostile_text_stays_one_line(log, text):
    log.like([*TALK[:-1], {"role": "assistant", "content": text}])
    log.correct(TALK, text)
    assert log.path.read_bytes().count(b"\n") == 2
    assert len(list(read_dialogues(log.path))) == 2


def test_a_killed_process_leaves_whole_lines(log):
    script = f"""
import sys
from course_lib.feedback import FeedbackLog
log = FeedbackLog({str(log.path)!r})
talk = [{{"role": "user", "content": "a"}}, {{"role": "assistant", "content": "b"}}]
while True:
    log.like(talk)
    print("x", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list(read_dialogues(log.path, []))) >= 5
