"""The rating widget without a browser: clicks, blindness, sides, undo, resume, hostile text."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest

pytest.importorskip("ipywidgets")

from course_lib.metrics.ratings import FORM, SIDES, Item, read_ratings, sides_of
from course_lib.widgets.rating import Rating
from tests.tiny import ROOT

SYSTEMS = ("secretbase", "secrettuned")


def items(count: int = 3) -> list[Item]:
    return [
        Item(
            f"i{n}",
            ({"role": "user", "content": f"question {n}"},),
            {name: f"reply {n} from the {word}" for name, word in zip(SYSTEMS, "xy", strict=True)},
        )
        for n in range(count)
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ratings.jsonl"


def opened(path, found=None, rater="ana", **options) -> Rating:
    return Rating(found or items(), rater, path, **options)


def answer_all(rating: Rating, sides=SIDES, value: int = 4, choice: str | None = "left") -> None:
    """Every question of the item that is shown, but the last one first by `choice`."""
    for side in sides:
        for scale in FORM.scales:
            rating.buttons[side, scale.name, value].click()
        for asked in FORM.behaviours:
            rating.buttons[side, asked.name, 1].click()
    if choice:
        rating.choice_buttons[choice].click()


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def everything_shown(rating: Rating) -> str:
    """All text that reaches the browser: the state of every widget of the view."""
    found, todo = [], [rating.view]
    while todo:
        widget = todo.pop()
        found.append(repr(widget.get_state()))
        todo += getattr(widget, "children", ())
    return " ".join([*found, repr(rating), repr(rating._repr_mimebundle_())])


def test_a_click_is_a_line_with_rater_sides_and_value(path):
    rating = opened(path)
    item = rating.items[0]
    rating.buttons["right", "fluency", 5].click()
    rating.buttons["left", "asks back", 0].click()
    first, second = lines(path)
    assert first == {
        "click": 1,
        "action": "score",
        "rater": "ana",
        "item": item.id,
        "side": "right",
        "question": "fluency",
        "value": 5,
        "sides": sides_of(item, "ana"),
        "shown": item.shown,
        "simulated": False,
    }
    assert (second["question"], second["value"], second["side"]) == ("asks back", False, "left")
    assert rating.buttons["right", "fluency", 5].button_style == "success"
    assert rating.buttons["left", "asks back", 0].button_style == "success"
    assert "saved: left, asks back no" in rating.status.value


def test_the_page_shows_the_conversation_and_each_reply_on_its_side(path):
    rating = opened(path)
    item = rating.items[0]
    assert item.history[0]["content"] in rating.page.value
    for side, system in zip(SIDES, sides_of(item, "ana"), strict=True):
        assert item.replies[system] in rating.replies[side].value


def test_no_systems_name_reaches_the_browser(path):
    rating = opened(path)
    texts = [everything_shown(rating)]
    answer_all(rating)
    rating.undo_button.click()
    rating.skip_button.click()
    texts.append(everything_shown(rating))
    for text in texts:
        assert not any(name in text for name in SYSTEMS)
    assert any(name in path.read_text() for name in SYSTEMS)  # but the file knows


def test_the_probe_would_see_a_name(path):
    rating = opened(path)
    rating.status.value = SYSTEMS[0]
    assert SYSTEMS[0] in everything_shown(rating)


def test_sides_are_drawn_for_each_rater_and_item_from_the_seed():
    many = items(200)
    drawn = [sides_of(item, "ana") for item in many]
    assert drawn == [sides_of(item, "ana") for item in many]
    first = sum(sides[0] == SYSTEMS[0] for sides in drawn)
    assert 70 < first < 130
    assert drawn != [sides_of(item, "ben") for item in many]
    assert drawn != [sides_of(item, "ana", seed=1) for item in many]


def test_the_order_is_drawn_too(path):
    found = items(12)
    order = [item.id for item in opened(path, found).items]
    assert order != [item.id for item in found] and sorted(order) == sorted(i.id for i in found)
    assert order == [item.id for item in opened(path, found).items]
    assert order != [item.id for item in opened(path, found, rater="ben").items]


def test_when_all_is_answered_the_next_item_comes(path):
    rating = opened(path)
    first = rating.items[0]
    answer_all(rating, choice=None)
    assert rating.at == 0 and "0 of 3 done" in rating.status.value
    rating.choice_buttons["tie"].click()
    assert rating.at == 1 and "1 of 3 done" in rating.status.value
    assert len(lines(path)) == 2 * len(FORM.names) + 1
    found = read_ratings(path)
    assert found.preferences[0].winner is None and found.preferences[0].item == first.id


def test_undo_revokes_and_goes_back(path):
    rating = opened(path)
    answer_all(rating)
    rating.undo_button.click()
    assert rating.at == 0 and rating.current.choice is None
    assert lines(path)[-1] == {
        "click": 12,
        "action": "undo",
        "rater": "ana",
        "item": rating.items[0].id,
        "of": 11,
    }
    assert "undone: prefer left" in rating.status.value
    for _ in range(11):
        rating.undo_button.click()
    assert rating.current.answers == {} and "nothing to undo" in rating.status.value


def test_another_click_replaces_the_answer_and_stays(path):
    rating = opened(path)
    answer_all(rating)
    rating.back_button.click()
    rating.buttons["left", "fluency", 1].click()
    assert rating.at == 0 and rating.current.answers["left", "fluency"] == 1
    assert rating.buttons["left", "fluency", 4].button_style == ""
    values = [j.value for j in read_ratings(path).judgements if j.question == "fluency"]
    assert sorted(values) == [1, 4]


def test_reopening_goes_on_where_it_stood_and_keeps_its_sides(path):
    rating = opened(path, seed=0)
    answer_all(rating)
    rating.buttons["left", "fluency", 2].click()
    shown = {item.id: rating._sides[item.id] for item in rating.items[:2]}
    again = opened(path, seed=0)
    assert again.at == 1 and again.current.answers == {("left", "fluency"): 2}
    for seed in range(1, 9):  # another seed draws other sides, but not for what was rated
        other = opened(path, seed=seed)
        assert {name: other._sides[name] for name in shown} == shown


def test_skipping_is_remembered_and_counts_for_nothing(path):
    rating = opened(path)
    rating.buttons["left", "fluency", 2].click()
    rating.skip_button.click()
    assert rating.at == 1 and opened(path).at == 1
    assert read_ratings(path).judgements == ()


def test_one_reply_is_rated_without_a_comparison(path):
    alone = [Item("i", ({"role": "user", "content": "hi"},), {"tuned": "hello"})]
    rating = opened(path, alone)
    assert rating._choices.layout.display == "none"
    assert rating._columns["right"].layout.display == "none"
    answer_all(rating, sides=("left",), choice=None)
    assert "1 of 1 done" in rating.status.value
    assert {j.system for j in read_ratings(path).judgements} == {"tuned"}


def test_another_raters_file_and_other_texts_are_refused(path):
    answer_all(opened(path))
    with pytest.raises(ValueError, match="ratings.jsonl is ana's"):
        opened(path, rater="ben")
    changed = [Item(i.id, i.history, i.replies | {SYSTEMS[0]: "new"}) for i in items()]
    with pytest.raises(ValueError, match="ratings of other texts"):
        opened(path, changed)


@pytest.mark.parametrize("found", [[], items(2) + items(1)])
def test_no_items_and_twice_one_id_are_refused(path, found):
    with pytest.raises(ValueError, match="give items of unlike ids"):
        Rating(found, "ana", path)
    assert not path.exists()


def test_the_buttons_can_be_found_by_class(path):
    rating = opened(path)
    assert "rating" in rating.view._dom_classes
    assert "rating-left-fluency-4" in rating.buttons["left", "fluency", 4]._dom_classes
    assert "rating-right-asks-back-1" in rating.buttons["right", "asks back", 1]._dom_classes
    assert "rating-prefer-tie" in rating.choice_buttons["tie"]._dom_classes
    assert "rating-undo" in rating.undo_button._dom_classes
    assert "rating-status" in rating.status._dom_classes
    assert "rating-reply-left" in rating.replies["left"]._dom_classes


def test_every_point_is_described_on_its_button(path):
    rating = opened(path)
    for scale in FORM.scales:
        for value, words in enumerate(scale.points, 1):
            assert rating.buttons["left", scale.name, value].description == f"{value} · {words}"


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.widgets.test_rating import opened
rating = opened(Path(sys.argv[1]))
rating.buttons["left", "fluency", 3].click()
rating.choice_buttons["right"].click()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing(path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(path)]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert [line["action"] for line in lines(path)] == ["score", "prefer"]
    assert opened(path).current.choice == "right"


def test_the_file_is_on_the_disk_after_each_click(path, monkeypatch):
    rating, synced, fsync = opened(path), [], os.fsync

    def watch(descriptor):
        fsync(descriptor)
        synced.append(len(lines(path)))

    monkeypatch.setattr(os, "fsync", watch)
    for number in range(1, 4):
        rating.buttons["left", "fluency", number].click()
        assert synced[-1] == number


def test_nothing_is_printed_and_a_failure_is_shown(path, monkeypatch, capsys):
    rating = opened(path)

    def full(*_, **__):
        raise OSError("no <b>room</b>")

    monkeypatch.setattr(rating.log, "append", full)
    rating.choice_buttons["left"].click()
    assert "not saved: OSError: no &lt;b&gt;room" in rating.status.value
    assert rating.current.choice is None
    assert capsys.readouterr() == ("", "")


HOSTILE = [
    "<script>alert(1)</script>",
    "</div></div><h1>out</h1>",
    '"><svg onload=alert(1)>',
    "half a pair \ud800 here",
    "\x00\x1b[31m null and escape",
    "<" * 20_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(path, text):
    item = Item("i", ({"role": text, "content": text},), {"a": text, "b": text})
    rating = opened(path, [item])
    answer_all(rating)
    for page in (rating.page, rating.status, *rating.replies.values()):
        assert set(re.findall(r"<\s*/?\s*(\w*)", page.value)) <= {"div", "b", "i"}
        page.value.encode("utf-8")
    assert len(read_ratings(path).judgements) == 2 * len(FORM.names)


def test_the_text_form_is_stable_and_the_view_is_named(path):
    rating = opened(path)
    assert repr(rating) == "Rating(3 conversations, ratings.jsonl)"
    bundle = rating._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == rating.view.model_id
