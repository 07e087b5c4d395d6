"""Label sets and examples: counted right, read lazily, history as it was."""

from __future__ import annotations

from course_lib.annotation import Example, examples, label_sets
from course_lib.annotation.labels import entity_pairs, intent_pairs, unknown_labels, with_spans
from course_lib.dialogue import Dialogue, Entity, Message, read_dialogues
from tests.tiny import ROOT

KETTLE = Entity("product", 8, 20, "Brisa kettle", "Brisa kettle")


def asked() -> Dialogue:
    return Dialogue(
        "d1",
        [
            Message("user", "Hello!", "greeting", acts=[["greet", None]]),
            Message("assistant", "Hello, what is it?"),
            Message("user", "Has the Brisa kettle a cord?", "ask_cable_length", [KETTLE]),
            Message("assistant", "It has.", acts=[["inform", "cable_length"]]),
            Message("user", "Hm."),
        ],
    )


def test_labels_are_counted_over_all_messages():
    sets = label_sets([asked(), asked()])
    assert sets.intents == {"greeting": 2, "ask_cable_length": 2}
    assert sets.slots == {"product": 2}
    assert sets.acts == {"greet": 2, "inform": 2}


def test_roles_can_be_chosen():
    assert label_sets([asked()], roles=("assistant",)).acts == {"inform": 1}


def test_names_stand_by_count_then_by_name():
    sets = label_sets([asked(), Dialogue("d2", [Message("user", "Hello!", "greeting")])])
    assert sets.names("intents") == ["greeting", "ask_cable_length"]
    assert label_sets([asked()]).names("intents") == ["ask_cable_length", "greeting"]
    assert "intents: 2 labels, 3 times" in sets.table()


def test_what_was_never_seen_is_named_with_its_place():
    known = label_sets([Dialogue("d0", [Message("user", "Hello!", "greeting")])])
    found = unknown_labels([asked()], known)
    assert "dialogue 'd1', message 2: 'ask_cable_length'" in found
    assert "dialogue 'd1', message 2: 'product'" in found
    assert not any("'greeting'" in line for line in found)
    assert unknown_labels([asked()], label_sets([asked()])) == []


def test_an_example_has_text_intent_spans_and_what_came_before():
    first, second = examples([asked()])
    assert (first.text, first.intent, first.turn, first.history) == ("Hello!", "greeting", 0, ())
    assert (second.text, second.intent) == ("Has the Brisa kettle a cord?", "ask_cable_length")
    assert second.entities == (KETTLE,)
    assert [message.content for message in second.history] == ["Hello!", "Hello, what is it?"]


def test_messages_without_intent_come_only_when_asked_for():
    assert [e.text for e in examples([asked()], with_intent=False)][-1] == "Hm."
    texts = [e.text for e in examples([asked()], ("assistant",), with_intent=False)]
    assert texts == ["Hello, what is it?", "It has."]


def test_the_text_after_so_many_turns():
    second = list(examples([asked()]))[1]
    assert second.text_after(0) == second.text
    assert second.text_after(1) == "Hello, what is it?\nHas the Brisa kettle a cord?"
    assert second.text_after(9) == "Hello!\nHello, what is it?\nHas the Brisa kettle a cord?"


def test_pairs_are_what_learners_take():
    found = list(examples([asked()], with_intent=False))
    assert intent_pairs(found) == [("Hello!", "greeting"), (found[1].text, "ask_cable_length")]
    assert entity_pairs(found)[1] == (found[1].text, (KETTLE,))


def test_examples_are_read_lazily():
    def endless():
        while True:
            yield asked()

    assert isinstance(next(iter(examples(endless()))), Example)


def test_the_shops_labels():
    dialogues = list(read_dialogues(ROOT / "data" / "shop" / "dev.jsonl"))
    sets, customer = label_sets(dialogues), label_sets(dialogues, ("user",))
    assert len(sets.intents) > 45 and sets.intents == customer.intents
    assert set(customer.slots) == {"product", "order_number", "address"}
    turns = sum(message.role == "user" for d in dialogues for message in d.messages)
    assert customer.intents.total() == turns  # every customer's turn has one


def test_spans_from_elsewhere_replace_those_of_the_customer():
    class Cords:
        def predict(self, texts):
            return [
                [Entity("part", at, at + 4, "cord", "cord")]
                if (at := text.find("cord")) >= 0
                else []
                for text in texts
            ]

    dialogue = asked()
    dialogue.messages[3].entities = [KETTLE]
    (other,) = with_spans([dialogue], Cords())
    assert [e.slot for m in other.messages for e in m.entities] == ["part", "product"]
    assert dialogue.messages[2].entities == [KETTLE]  # the given one stays as it was


def test_a_long_list_is_shown_by_its_ends():
    many = [Message("user", "x", intent) for intent in "abcdefghi" for _ in range(ord(intent) - 96)]
    sets = label_sets([Dialogue("d", many)])
    lines = [line.split()[0] for line in sets.table(ends=2).splitlines()]
    assert lines[:6] == ["intents:", "i", "h", "…", "b", "a"]
    assert sets.table(ends=3) == sets.table()  # nine are not so many
