"""The labelling widget without a browser: clicks, undo, resume, a killed process, hostile text."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest

pytest.importorskip("ipywidgets")

from course_lib.annotation import apply_labels, read_labels
from course_lib.dialogue import Dialogue, Message
from course_lib.widgets.label import Label
from tests.tiny import ROOT

INTENTS = ["greeting", "ask_price", "thanks"]
SLOTS = ["product", "price"]


def two_dialogues() -> list[Dialogue]:
    return [
        Dialogue(
            "d1",
            [
                Message("user", "Hello!"),
                Message("assistant", "Hello, what is it?"),
                Message("user", "Is the Brisa cheaper than the Brisa kettle?"),
            ],
        ),
        Dialogue("d2", [Message("user", "Thank you!")]),
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.jsonl"


def opened(path, dialogues=None) -> Label:
    return Label(dialogues or two_dialogues(), INTENTS, SLOTS, path)


def mark(label: Label, slot: str, text: str) -> None:
    label.slot.value, label.text.value = slot, text
    label.add_button.click()


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_intent_is_saved_and_the_next_message_comes(path):
    label = opened(path)
    assert "Hello!" in label.page.value and "Brisa" not in label.page.value
    label.intent_buttons["greeting"].click()
    assert [(line["message"], line["intent"]) for line in lines(path)] == [(0, "greeting")]
    assert "Brisa kettle" in label.page.value
    assert "Hello, what is it?" in label.page.value  # the history stands above
    assert "1 of 3 done" in label.status.value


def test_only_the_chosen_roles_are_asked_about(path):
    assert [item.text for item in opened(path).items][1:] == [
        "Is the Brisa cheaper than the Brisa kettle?",
        "Thank you!",
    ]


def test_spans_are_marked_by_their_text(path):
    label = opened(path)
    label.next_button.click()
    mark(label, "product", "  Brisa kettle ")
    assert lines(path)[0] | {"click": 1} == {
        "click": 1,
        "action": "span",
        "dialogue_id": "d1",
        "message": 2,
        "slot": "product",
        "start": 30,
        "end": 42,
        "text": "Brisa kettle",
    }
    assert label.text.value == "" and "marked: Brisa kettle" in label.status.value
    assert re.search(r"<span [^>]*>Brisa kettle<small> product", label.page.value)


def test_the_same_words_twice_are_two_spans(path):
    label = opened(path)
    label.next_button.click()
    for _ in range(3):
        mark(label, "product", "Brisa")
    assert [line["start"] for line in lines(path)] == [7, 30]
    assert "stands nowhere" in label.status.value and label.text.value == "Brisa"


@pytest.mark.parametrize("text", ["", "   ", "Olva"])
def test_what_does_not_stand_there_is_not_marked(path, text):
    label = opened(path)
    mark(label, "product", text)
    assert not path.exists() and "stands nowhere" in label.status.value


def test_undo_writes_a_line_that_revokes_and_goes_back(path):
    label = opened(path)
    label.intent_buttons["thanks"].click()
    label.undo_button.click()
    assert [line["action"] for line in lines(path)] == ["intent", "undo"]
    assert lines(path)[1]["of"] == 1
    assert "Hello!" in label.page.value and "0 of 3 done" in label.status.value
    assert "undone: intent thanks" in label.status.value
    label.intent_buttons["greeting"].click()
    assert read_labels(path)["d1", 0].intent == "greeting"


def test_undo_takes_spans_too_and_ends_when_nothing_is_left(path):
    label = opened(path)
    label.next_button.click()
    mark(label, "product", "Brisa kettle")
    label.undo_button.click()
    assert label.current.entities == [] and "<small>" not in label.page.value
    label.undo_button.click()
    assert "nothing to undo" in label.status.value and len(lines(path)) == 2


def test_another_click_on_a_labelled_message_replaces_the_intent(path):
    label = opened(path)
    label.intent_buttons["thanks"].click()
    label.back_button.click()
    assert label.intent_buttons["thanks"].button_style == "success"
    label.intent_buttons["greeting"].click()
    assert read_labels(path)["d1", 0].intent == "greeting"
    label.undo_button.click()
    assert read_labels(path)["d1", 0].intent == "thanks"


def test_skipping_is_remembered(path):
    label = opened(path)
    label.skip_button.click()
    assert read_labels(path)["d1", 0].skipped
    assert "Brisa" in opened(path).page.value


def test_reopening_goes_on_where_it_stood(path):
    label = opened(path)
    label.intent_buttons["greeting"].click()
    mark(label, "product", "Brisa kettle")
    again = opened(path)
    assert "1 of 3 done" in again.status.value
    assert [entity.text for entity in again.current.entities] == ["Brisa kettle"]
    again.intent_buttons["ask_price"].click()
    again.intent_buttons["thanks"].click()
    assert "3 of 3 done" in again.status.value
    assert "3 of 3 done" in opened(path).status.value
    labelled = list(apply_labels(two_dialogues(), read_labels(path)))
    assert [m.intent for d in labelled for m in d.messages if m.role == "user"] == INTENTS


def test_half_a_line_at_the_end_is_tolerated(path):
    opened(path).intent_buttons["greeting"].click()
    with path.open("ab") as file:
        file.write('{"click": 2, "action": "intent", "dialogue_id": "Zoë'.encode()[:-1])
    again = opened(path)
    assert "1 of 3 done" in again.status.value
    again.intent_buttons["ask_price"].click()
    assert [line["intent"] for line in lines(path)] == ["greeting", "ask_price"]


def test_the_file_is_on_the_disk_after_each_click(path, monkeypatch):
    label, synced, fsync = opened(path), [], os.fsync

    def watch(descriptor):
        fsync(descriptor)
        synced.append(len(lines(path)))

    monkeypatch.setattr(os, "fsync", watch)
    for number in range(1, 4):
        label.intent_buttons["thanks"].click()
        assert synced[-1] == number and len(lines(path)) == number


KILLED = """
import os, signal, sys
from tests.widgets.test_label import opened, mark
from pathlib import Path
label = opened(Path(sys.argv[1]))
label.intent_buttons["greeting"].click()
mark(label, "product", "Brisa kettle")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing(path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(path)]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert [line["action"] for line in lines(path)] == ["intent", "span"]
    assert "1 of 3 done" in opened(path).status.value


def test_nothing_is_printed_and_a_failure_is_shown(path, monkeypatch, capsys):
    label = opened(path)

    def full(*_, **__):
        raise OSError("no <b>room</b>")

    monkeypatch.setattr(label.log, "append", full)
    label.intent_buttons["thanks"].click()
    assert "not saved: OSError: no &lt;b&gt;room" in label.status.value
    assert "Hello!" in label.page.value and not label.current.done  # it stays to be labelled
    assert capsys.readouterr() == ("", "")


def test_somebody_elses_lines_are_not_overwritten(path):
    one, other = opened(path), opened(path)
    one.intent_buttons["thanks"].click()
    other.intent_buttons["greeting"].click()
    assert "somebody else" in other.status.value
    assert [line["intent"] for line in lines(path)] == ["thanks"]


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</div></div><h1>out</h1>",
    '"><svg onload=alert(1)>',
    "&lt;b&gt; stays",
    "half a pair \ud800 here",
    "\x00\x1b[31m null and escape",
    "<" * 20_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(path, text):
    dialogue = Dialogue("d1", [Message(text, text), Message("user", text)])
    label = Label([dialogue], [text], [text], path)
    mark(label, text, text[:9])
    label.intent_buttons[text].click()
    for page in (label.page.value, label.status.value):
        assert set(re.findall(r"<\s*/?\s*(\w*)", page)) <= {"div", "b", "i", "span", "small"}
        page.encode("utf-8")  # travels to the browser
    for button in label.intent_buttons.values():
        button.description.encode("utf-8")
    if path.exists():
        lines(path)


def test_without_slots_there_is_nothing_to_mark_with(path):
    label = Label(two_dialogues(), INTENTS, path=path)
    label.intent_buttons["greeting"].click()
    assert len(lines(path)) == 1


@pytest.mark.parametrize(("dialogues", "intents"), [([], INTENTS), (two_dialogues(), [])])
def test_nothing_to_label_is_refused(path, dialogues, intents):
    with pytest.raises(ValueError, match="one of each at least"):
        Label(dialogues, intents, SLOTS, path)
    assert not path.exists()


def test_the_text_form_is_stable_and_the_view_is_named(path):
    label = opened(path)
    assert repr(label) == "Label(3 messages, labels.jsonl)"  # no folder of one machine
    bundle = label._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == label.view.model_id
