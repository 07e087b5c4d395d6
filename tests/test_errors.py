"""Errors by kind: each kind is recognised, and a sound reply has none."""

from __future__ import annotations

import pytest

from course_lib.dialogue import Dialogue, Entity, Message
from course_lib.errors import (
    KINDS,
    ErrorTable,
    act_reader,
    cases_of,
    judge_replies,
    kind_of,
    loops,
    main_act,
    product_names,
)

ORDER = "1234567890"


def entity(slot: str, text: str, content: str) -> Entity:
    start = content.index(text)
    return Entity(slot, start, start + len(text), text, text)


def agent(content: str, *acts: list, **entities: str) -> Message:
    found = [entity(slot, text, content) for slot, text in entities.items()]
    return Message("assistant", content, entities=found, acts=list(acts))


def customer(content: str, intent: str, **entities: str) -> Message:
    found = [entity(slot, text, content) for slot, text in entities.items()]
    return Message("user", content, intent=intent, entities=found)


def shop_dialogues() -> list[Dialogue]:
    return [
        Dialogue(
            "d1",
            [
                agent("Hello, how can I help?", ["greet", None]),
                customer("What does the Brisa kettle cost?", "ask_price", product="Brisa kettle"),
                agent("It costs 39 euros. Anything else?", ["inform", "price"], price="39 euros"),
                customer("And the Olva lamp?", "other_product", product="Olva lamp"),
                agent(
                    "The Olva lamp costs 45 euros.",
                    ["inform", "price"],
                    product="Olva lamp",
                    price="45 euros",
                ),
            ],
        ),
        Dialogue(
            "d2",
            [
                customer("Cancel my order.", "cancel_order"),
                agent("What is the order number?", ["request", "order_number"]),
                customer(f"It is {ORDER}.", "give_order_number", order_number=ORDER),
                agent(f"Shall I cancel order {ORDER}?", ["confirm", None], order_number=ORDER),
                customer("Yes.", "affirm"),
                agent(f"Order {ORDER} is cancelled.", ["notify", None], order_number=ORDER),
                customer("I want to speak to a person.", "human_agent"),
                agent("I am calling a colleague.", ["apologise", None], ["handover", None]),
                customer("Who won the match?", "out_of_scope"),
                agent("That is not my business here.", ["decline", None]),
                customer("Thanks.", "thanks"),
                agent("You are welcome.", ["welcome", None]),
            ],
        ),
    ]


CASES = {(case.dialogue_id, case.turn): case for case in cases_of(shop_dialogues())}
PRICE, LAMP, ASKS, CONFIRMS, ACTS, HANDS, DECLINES, THANKS = CASES.values()
NAMES = product_names(shop_dialogues())


class Reader:
    """Reads acts by a word, so that a test says what it means."""

    WORDS = {
        "number?": "request order_number",
        "address?": "request address",
        "shall i": "confirm",
        "cancelled": "notify",
        "colleague": "handover",
        "business": "decline",
        "euros": "inform",
    }

    def read(self, replies):
        found = [[a for w, a in self.WORDS.items() if w in r.casefold()] for r in replies]
        return [acts[0] if acts else "social" for acts in found]


def kind(case, reply, ended=True) -> str:
    return kind_of(case, reply, Reader().read([reply])[0], NAMES, ended)


def test_a_case_is_each_turn_that_answers_a_customer():
    assert list(CASES) == [("d1", 2), ("d1", 4), *(("d2", n) for n in (1, 3, 5, 7, 9, 11))]
    assert [(c.intent, c.product) for c in (PRICE, LAMP)] == [
        ("ask_price", "Brisa kettle"),
        ("other_product", "Olva lamp"),
    ]
    assert len(LAMP.history) == 4 and LAMP.question is not None and ASKS.question is None
    assert ASKS.product == "none"


def test_what_the_agent_said_is_right():
    cases = list(CASES.values())
    table = judge_replies(cases, [c.gold.content for c in cases], Reader(), NAMES)
    assert table.counts() == {"right": 8} and table.right().value == 1.0
    assert len(table.errors()) == 0


@pytest.mark.parametrize(
    ("case", "reply", "expected"),
    [
        (PRICE, "The Brisa kettle costs 39 euros.", "right"),
        (PRICE, "It costs 39 euros, 39 euros, 39 euros, 39 euros, 39 euros.", "looped"),
        (PRICE, "It costs 45 euros.", "wrong value"),
        (PRICE, "It costs 39 euros, or 45 euros.", "wrong value"),
        (PRICE, "The Olva lamp costs 39 euros.", "wrong product"),
        (PRICE, "The Olva costs 45 euros.", "wrong product"),
        (PRICE, "You are welcome.", "value missing"),
        (PRICE, "What is the order number?", "asked needlessly"),
        (PRICE, "The Brisa kettle costs", "cut off"),
        (PRICE, "", "cut off"),
        (LAMP, "The Brisa kettle costs 45 euros.", "wrong product"),
        (ASKS, "And the number?", "right"),
        (ASKS, "Which address?", "asked for something else"),
        (ASKS, f"Order {ORDER} is cancelled.", "did not ask"),
        (CONFIRMS, f"Order {ORDER} is cancelled.", "did not confirm"),
        (CONFIRMS, "Shall I cancel order 1234567899?", "wrong value"),
        (CONFIRMS, "What is the order number?", "asked needlessly"),
        (CONFIRMS, f"Shall I send the Brisa kettle of order {ORDER}?", "wrong product"),
        (ACTS, "Order 1234567 is cancelled.", "wrong value"),
        (ACTS, "You are welcome.", "did not act"),
        (HANDS, "That is not my business.", "did not hand over"),
        (DECLINES, "I am calling a colleague.", "did not decline"),
        (THANKS, "I am calling a colleague.", "off the point"),
        (THANKS, "My pleasure!", "right"),
    ],
)
def test_each_kind_is_recognised(case, reply, expected):
    assert kind(case, reply) == expected
    assert expected in KINDS


def test_what_never_ended_is_called_by_that_first():
    assert kind(PRICE, "It costs 39 euros and", ended=False) == "no end"
    assert kind(PRICE, "the colour of the " * 9, ended=False) == "looped"
    assert kind(PRICE, "the colour of the " * 9) == "looped"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("two words", False),
        ("a b c a b c", False),
        ("a b c a b c a b c", True),
        ("one two three four five six seven eight nine", False),
    ],
)
def test_a_loop_is_three_words_three_times(text, expected):
    assert loops(text) is expected


def test_the_main_act_is_the_one_that_commits_most():
    assert main_act(agent("x", ["inform", "price"], ["offer", None])) == "inform"
    assert main_act(agent("x", ["inform", "price"], ["request", "address"])) == "request address"
    assert main_act(agent("x", ["apologise", None], ["handover", None])) == "handover"
    assert main_act(agent("x", ["bye", None])) == "social"


def test_a_reader_learns_the_acts_from_annotated_turns():
    pytest.importorskip("sklearn")
    reader = act_reader(shop_dialogues() * 3)
    assert reader.read(["Shall I cancel the order?", "I am calling a colleague."]) == [
        "confirm",
        "handover",
    ]
    assert reader.right_share(shop_dialogues()) > 0.8
    assert reader.read([]) == []


def test_without_acts_there_is_nothing_to_learn_from():
    with pytest.raises(ValueError, match="too few"):
        act_reader([Dialogue("d", [Message("user", "Hi"), Message("assistant", "Hi")])])
    with pytest.raises(ValueError, match="no product"):
        product_names([Dialogue("d", [Message("user", "Hi")])])


def test_names_are_found_as_whole_words_whatever_their_case():
    assert NAMES.found_in("the BRISA, please") == {"Brisa kettle"}
    assert NAMES.found_in("Brisas and a brisant one") == set()


def judged() -> ErrorTable:
    cases = [PRICE, LAMP, ASKS, CONFIRMS]
    replies = ["It costs 45 euros.", "It costs 39 euros.", "Hello!", f"Shall I cancel {ORDER}?"]
    return judge_replies(cases, replies, Reader(), NAMES)


def test_a_table_counts_filters_and_shows():
    table = judged()
    one_each = {"wrong value": 1, "value missing": 1, "did not ask": 1, "right": 1}
    assert table.counts() == one_each
    assert table.options("kind")[0] == "all" and len(table.options("intent")) == 5
    assert [r.case for r in table.filtered(kind="wrong value", intent="ask_price").rows] == [PRICE]
    assert len(table.filtered(product="Olva lamp")) == 1 and len(table.filtered()) == 4
    assert table.lines(1) == [
        ["wrong value", "ask_price", "What does the Brisa kettle cost?"]
        + ["It costs 39 euros. Anything else?", "It costs 45 euros."]
    ]
    assert str(table).splitlines()[0].split() == ["wrong", "value", "1", "25.0%"]
    assert str(ErrorTable([])) == "no replies"


def test_the_cross_table_counts_errors_by_kind_of_the_worst_groups():
    columns, rows = judged().cross("product")
    assert columns == ["product", "replies", "wrong", "wrong value", "value missing", "did not ask"]
    assert rows == [
        ["Brisa kettle", 1, 1, 1, 0, 0],
        ["Olva lamp", 1, 1, 0, 1, 0],
        ["none", 2, 1, 0, 0, 1],
    ]


def test_wrong_numbers_of_replies_and_unknown_filters_are_refused():
    with pytest.raises(ValueError, match="1 replies to 2 cases"):
        judge_replies([PRICE, LAMP], ["x"], Reader(), NAMES)
    with pytest.raises(ValueError, match="choose from kind, intent, product"):
        judged().counts("mood")
