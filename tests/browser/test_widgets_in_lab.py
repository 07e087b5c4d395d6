"""The labelling and the rating widget in a real JupyterLab: clicks become lines in their files."""

from __future__ import annotations

import pytest

from course_lib.annotation import read_labels
from tests.browser import lab

pytestmark = pytest.mark.browser

LABEL = """\
from course_lib.dialogue import Dialogue, Message
from course_lib.widgets import Label

talks = [
    Dialogue("d1", [Message("user", "Is the Brisa cheap? <b>")]),
    Dialogue("d2", [Message("user", "Thank you!")]),
]
Label(talks, ["ask_price", "thanks"], ["product"], "labels.jsonl")"""


def test_a_message_is_labelled(notebooks):
    path = notebooks.small("95_label", LABEL)
    with notebooks.open(path) as page:
        lab.run_all_cells(page)
        outputs = page.locator(".jp-OutputArea-output")
        outputs.get_by_text("Is the Brisa cheap? <b>").first.wait_for()
        page.get_by_placeholder("text of the span").fill("Brisa")
        page.get_by_role("button", name="Mark span").click()
        outputs.get_by_text("marked: Brisa").wait_for()
        page.get_by_role("button", name="ask_price").click()
        outputs.get_by_text("Thank you!").first.wait_for()
        page.get_by_role("button", name="thanks").click()
        outputs.get_by_text("saved: thanks").wait_for()
        page.get_by_role("button", name="Undo").click()
        outputs.get_by_text("undone").first.wait_for()
        lab.screenshot(page, "label")
    labels = read_labels(notebooks.folder / "labels.jsonl")
    assert labels["d1", 0].intent == "ask_price"
    assert [(e.slot, e.text) for e in labels["d1", 0].entities] == [("product", "Brisa")]
    assert ("d2", 0) not in labels


RATE = """\
from course_lib.metrics.ratings import Item
from course_lib.widgets.rating import Rating

items = [
    Item(f"i{n}", ({"role": "user", "content": "Is it loud? <b>"},), {"a": "No.", "b": "Yes!"})
    for n in range(2)
]
Rating(items, rater="ana", path="ratings.jsonl")"""


def test_a_pair_of_replies_is_rated(notebooks):
    ratings = pytest.importorskip("course_lib.metrics.ratings")
    path = notebooks.small("96_rate", RATE)
    with notebooks.open(path) as page:
        lab.run_all_cells(page)
        page.locator(".rating-page", has_text="Is it loud? <b>").wait_for()
        form = ratings.FORM
        status = page.locator(".rating-status")
        for side in ("left", "right"):
            for scale in form.scales:
                page.locator(f".rating-{side}-{scale.name}-2").click()
                status.get_by_text(f"saved: {side}, {scale.name} 2").wait_for()
        page.locator(".rating-prefer-left").click()
        status.get_by_text("saved: left is better").wait_for()
        lab.screenshot(page, "rating")
    clicks = ratings.RatingLog.read(notebooks.folder / "ratings.jsonl")
    assert len(clicks) == 2 * len(form.scales) + 1
    assert clicks[-1]["choice"] == "left" and {c["rater"] for c in clicks} == {"ana"}
