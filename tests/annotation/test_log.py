"""The labeller's file: every click on the disk, undo by a line, half a line tolerated."""

from __future__ import annotations

import json
import os

import pytest

from course_lib.annotation import LabelLog, apply_labels, read_labels
from course_lib.annotation import log as log_module
from course_lib.dialogue import Dialogue, DialogueError, Entity, Message

PLACE = ("d1", 0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "labels.jsonl"


def clicked(path) -> LabelLog:
    log = LabelLog(path)
    log.append("span", PLACE, slot="product", start=4, end=9, text="Brisa")
    log.append("intent", PLACE, intent="ask_price")
    return log


def test_each_click_is_a_line_that_is_on_the_disk(path, monkeypatch):
    seen = []
    fsync = os.fsync

    def watch(descriptor):
        fsync(descriptor)
        seen.append(path.read_bytes() if path.exists() else b"")

    monkeypatch.setattr(os, "fsync", watch)
    log = LabelLog(path)
    for number in range(1, 4):
        seen.clear()
        log.append("intent", ("d1", number), intent="thanks")
        assert seen[0].count(b"\n") == number and seen[0].endswith(b"\n")
    assert [json.loads(line)["click"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_labels_are_what_the_clicks_amount_to(path):
    log = clicked(path)
    labels = log.labels()[PLACE]
    assert labels.intent == "ask_price" and labels.done
    assert labels.entities == [Entity("product", 4, 9, "Brisa", "Brisa")]
    log.append("intent", PLACE, intent="thanks")
    assert log.labels()[PLACE].intent == "thanks"
    log.append("skip", ("d1", 2))
    assert log.labels()["d1", 2].skipped and log.labels()["d1", 2].done
    assert read_labels(path) == log.labels()


def test_an_undo_is_a_line_that_revokes_the_latest_that_counts(path):
    log = clicked(path)
    log.append("intent", PLACE, intent="thanks")
    assert log.undo()["intent"] == "thanks"
    assert log.labels()[PLACE].intent == "ask_price"
    assert log.undo()["intent"] == "ask_price"
    assert log.labels()[PLACE].intent is None and not log.labels()[PLACE].done
    assert log.undo()["slot"] == "product"
    assert log.undo() is None and log.labels() == {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["action"] for line in lines] == ["span", "intent", "intent", *["undo"] * 3]
    assert [line["of"] for line in lines[3:]] == [3, 2, 1]


def test_reopening_goes_on_where_it_stood(path):
    clicked(path).undo()
    again = LabelLog(path)
    assert again.labels()[PLACE].intent is None
    assert again.append("intent", PLACE, intent="thanks")["click"] == 4
    assert LabelLog(path).labels()[PLACE].intent == "thanks"


@pytest.mark.parametrize("accent", ["Zoë 😀", "a\u2028b", 'quote " and \\ and \n'])
def test_odd_texts_stay_one_line_and_come_back(path, accent):
    LabelLog(path).append("intent", (accent, 0), intent=accent)
    assert path.read_bytes().count(b"\n") == 1
    assert read_labels(path)[accent, 0].intent == accent


def test_every_torn_end_is_tolerated(path):
    clicked(path)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    borders = {0, 1, first - 1, first, first + 1, len(whole) - 1, len(whole)}
    for end in sorted(borders | set(range(0, len(whole), 11))):
        path.write_bytes(whole[:end])
        clicks = (end >= first - 1) + (end >= len(whole) - 1)  # a newline alone may be missing
        before = path.read_bytes()
        labels = read_labels(path)
        assert path.read_bytes() == before  # reading changes nothing
        log = LabelLog(path)
        assert len(log.clicks) == clicks and log.labels() == labels
        log.append("intent", PLACE, intent="thanks")
        assert len(path.read_text().splitlines()) == clicks + 1
        assert LabelLog(path).labels()[PLACE].intent == "thanks"


@pytest.mark.parametrize("text", ["a letter to my aunt", "a letter\nto my aunt", "{}", "[1]\n"])
def test_a_file_that_is_something_else_is_refused_and_left_alone(path, text):
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DialogueError, match="labels.jsonl, line 1"):
        LabelLog(path)
    with pytest.raises(DialogueError, match="labels.jsonl, line 1"):
        read_labels(path)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "line",
    [
        "half a li",
        '{"click": 9, "action": "dance", "dialogue_id": "d1", "message": 0}',
        '{"click": 9, "action": "intent", "dialogue_id": "d1", "message": 0}',
        '{"click": true, "action": "skip", "dialogue_id": "d1", "message": 0}',
        '{"click": 9, "action": "span", "dialogue_id": "d1", "message": "0"}',
    ],
)
def test_a_bad_line_inside_the_file_is_named(path, line):
    clicked(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, lines[1]]) + "\n")
    with pytest.raises(DialogueError, match="labels.jsonl, line 2: no click"):
        LabelLog(path)


def test_two_labellers_in_one_file_are_refused(path):
    one, other = LabelLog(path), LabelLog(path)
    one.append("skip", PLACE)
    with pytest.raises(DialogueError, match="somebody else"):
        other.append("skip", PLACE)
    assert len(path.read_text().splitlines()) == 1


def test_a_write_that_fails_leaves_the_file_as_it_was(path, monkeypatch):
    log = clicked(path)
    before = path.read_bytes()

    def full(descriptor, data):
        os.write(descriptor, data[:7])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_module, "_write_all", full)
    with pytest.raises(OSError, match="No space"):
        log.append("skip", PLACE)
    assert path.read_bytes() == before and len(log.clicks) == 2
    monkeypatch.undo()
    log.append("skip", PLACE)
    assert LabelLog(path).labels()[PLACE].skipped


def test_what_is_no_click_is_not_written(path):
    log = LabelLog(path)
    for action, fields in [("dance", {}), ("intent", {}), ("intent", {"intent": 5})]:
        with pytest.raises(DialogueError):
            log.append(action, PLACE, **fields)
    assert not path.exists()


def test_labels_go_back_into_dialogues(path):
    log = clicked(path)
    log.append("skip", ("d1", 1))
    dialogue = Dialogue(
        "d1", [Message("user", "The Brisa?"), Message("user", "Thanks!", intent="thanks")]
    )
    other = Dialogue("d2", [Message("user", "Hello!")])
    first, second = apply_labels([dialogue, other], read_labels(path))
    assert first.messages[0].intent == "ask_price"
    assert first.messages[0].entities[0].text == "Brisa"
    assert first.messages[1].intent == "thanks" and second == other
    assert dialogue.messages[0].intent is None  # nothing is changed in place


def test_labels_of_another_text_are_refused(path):
    clicked(path)
    with pytest.raises(DialogueError, match="'d1'.*'Brisa'"):
        list(apply_labels([Dialogue("d1", [Message("user", "The Olvar?")])], read_labels(path)))


def test_no_file_is_an_error_for_a_reader(path):
    with pytest.raises(DialogueError, match="no such file"):
        read_labels(path)
