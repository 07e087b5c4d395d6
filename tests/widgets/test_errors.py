"""The error browser without a browser: filters, moves, class names, hostile text."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("ipywidgets")

from course_lib.dialogue import Message
from course_lib.errors import Case, ErrorTable, Judged
from course_lib.widgets.errors import ErrorBrowser


def judged(number: int, kind: str, intent: str = "ask_price", text: str = "It costs 45 euros."):
    history = ({"role": "user", "content": f"question {number}"},)
    gold = Message("assistant", f"gold {number}")
    return Judged(Case(f"d{number}", 1, history, intent, "Brisa kettle", gold, None), text, kind)


def three() -> ErrorTable:
    return ErrorTable(
        [
            judged(1, "wrong value"),
            judged(2, "right"),
            judged(3, "wrong value", "ask_weight"),
            judged(4, "did not ask"),
        ]
    )


def test_the_errors_are_shown_one_at_a_time_with_history_and_gold():
    browser = ErrorBrowser(three())
    assert browser.status.value == "1 of 3" and browser.back_button.disabled
    for text in ("question 1", "gold 1", "It costs 45 euros.", "wrong value: states another"):
        assert text in browser.page.value
    browser.next_button.click()
    browser.next_button.click()
    assert browser.current.case.dialogue_id == "d4" and browser.next_button.disabled
    browser.back_button.click()
    assert browser.current.case.dialogue_id == "d3"


def test_filters_narrow_and_start_anew():
    browser = ErrorBrowser(three())
    browser.next_button.click()
    browser.filters["kind"].value = "wrong value"
    assert browser.status.value == "1 of 2"
    browser.filters["intent"].value = "ask_weight"
    assert browser.status.value == "1 of 1" and "question 3" in browser.page.value
    browser.filters["kind"].value = "did not ask"
    assert browser.current is None and "nothing fits" in browser.page.value
    assert browser.status.value == "0 of 0"
    assert browser.next_button.disabled and browser.back_button.disabled
    browser.next_button.click()  # a click that was under way does no harm
    assert browser.current is None
    browser.filters["intent"].value = "all"
    assert "question 4" in browser.page.value


def test_the_filters_say_how_many_there_are():
    options = dict(ErrorBrowser(three()).filters["kind"].options)
    assert options == {
        "all (3)": "all",
        "wrong value (2)": "wrong value",
        "did not ask (1)": "did not ask",
    }


def test_right_replies_are_there_when_asked_for():
    assert ErrorBrowser(three(), right_too=True).status.value == "1 of 4"


def test_a_table_without_errors_can_be_opened():
    browser = ErrorBrowser(ErrorTable([judged(1, "right")]))
    assert browser.current is None and browser.status.value == "0 of 0"


def test_every_part_can_be_found_by_its_class():
    browser = ErrorBrowser(three())
    parts = [browser.view, browser.page, browser.status, browser.back_button]
    parts += [browser.next_button, *browser.filters.values()]
    assert [tuple(part._dom_classes) for part in parts] == [
        ("error-browser",),
        ("error-page",),
        ("error-status",),
        ("error-back",),
        ("error-next",),
        ("error-kind",),
        ("error-intent",),
        ("error-product",),
    ]


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</div></div><h1>out</h1>",
    '"><svg onload=alert(1)>',
    "half a pair \ud800 here",
    "<" * 20_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(text):
    case = Case(text, 1, ({"role": text, "content": text},), text, text, Message("a", text), None)
    browser = ErrorBrowser(ErrorTable([Judged(case, text, "looped")]))
    page = browser.page.value
    assert set(re.findall(r"<\s*/?\s*(\w*)", page)) <= {"div", "b", "i", "span", "small"}
    page.encode("utf-8")  # travels to the browser
    for box in browser.filters.values():
        for label, _ in box.options:
            label.encode("utf-8")
    browser.filters["intent"].value = text
    assert browser.current is not None


def test_nothing_is_printed_and_the_text_form_is_stable(capsys):
    browser = ErrorBrowser(three())
    browser.filters["kind"].value = "did not ask"
    assert capsys.readouterr() == ("", "")
    assert repr(browser) == "ErrorBrowser(3 replies, 2 kinds)"
    bundle = browser._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == browser.view.model_id
