"""Cards, accounts, addresses and full names: found where they are, and only there."""

from __future__ import annotations

import pytest

from course_lib.cleaning import find_personal_data, redact_personal_data
from course_lib.cleaning.accounts import find_cards, find_ibans, is_iban, is_luhn
from course_lib.cleaning.addresses import find_addresses
from course_lib.cleaning.names import find_names
from course_lib.dialogue import Dialogue, Entity, Message


def parts(text: str, spans: list[tuple[int, int]]) -> list[str]:
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    "number",
    ["4242 4242 4242 4242", "5105105105105100", "3782-822463-10005", "6011 1111 1111 1117",
     "3566002020360505", "2223003122003222"],
)  # fmt: skip
def test_cards_with_right_check_digits(number: str) -> None:
    text = f"Please take it from {number}, thank you."
    assert parts(text, find_cards(text)) == [number]


@pytest.mark.parametrize(
    "text",
    [
        "It was 4242 4242 4242 4243 on the slip.",  # the check digit is wrong
        "Tracking number 4242 4242 4242 4242 says nothing.",  # a parcel, not a card
        "Order 7071480722 has not come.",
        "The bar code is 9780306406157.",  # right by Luhn or not: no company starts so
        "ID 42424242424242424242424242",
    ],
)
def test_what_is_no_card(text: str) -> None:
    assert find_cards(text) == []


def test_luhn_catches_each_single_wrong_digit() -> None:
    right = "4242424242424242"
    assert is_luhn(right)
    wrong = [
        right[:i] + digit + right[i + 1 :]
        for i in range(len(right))
        for digit in "0123456789"
        if digit != right[i]
    ]
    assert not any(is_luhn(number) for number in wrong)


@pytest.mark.parametrize(
    "account", ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "NL91 ABNA 0417 1643 00"]
)
def test_accounts_with_right_check_digits(account: str) -> None:
    text = f"Pay it to {account} please."
    assert parts(text, find_ibans(text)) == [account]
    assert not is_iban(account[:-1] + str((int(account[-1]) + 1) % 10))


def test_a_card_after_a_sentence_about_a_parcel() -> None:
    text = "Put a birthday card in with the parcel. I paid with 4242 4242 4242 4242."
    assert parts(text, find_cards(text)) == ["4242 4242 4242 4242"]


def test_an_account_has_its_countrys_length_and_takes_no_word_along() -> None:
    said = "DE50 4538 5230 6506 3356 17"
    assert is_iban(said) and find_ibans(f"Take {said} instead of it.") == [(5, 5 + len(said))]
    assert not is_iban("XX50 4538 5230 6506 3356 17")


@pytest.mark.parametrize("text", ["Part DE89 3704 is missing.", "SKU GB29NWBK60161331926818."])
def test_what_is_no_account(text: str) -> None:
    assert find_ibans(text) == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("I live at 12 Rowan Street.", "12 Rowan Street"),
        ("I moved to 7b Elder Grove in Oxbury last week.", "7b Elder Grove in Oxbury"),
        ("Send it to 221 Old Mill Road, Springfield.", "221 Old Mill Road, Springfield"),
        ("Ich wohne Lindenstraße 5, 12345 Berlin.", "Lindenstraße 5, 12345 Berlin"),
        ("We are at Am Alten Weg 14b, top floor.", "Am Alten Weg 14b"),
        ("Meet me at Im Krug 3 or call.", "Im Krug 3"),
        ("Nobody is in at Sonnblick 3, 62191 Marlingen.", "Sonnblick 3, 62191 Marlingen"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert parts(text, find_addresses(text)) == [address]


@pytest.mark.parametrize(
    "text",
    ["Call 0800 555 0134 tomorrow.", "It needs 12 Volt and 3 Watts.", "I walked 3 Miles.",
     "We waited on Station Road for you.", "Will ring 0800 then.", "Version 2 Drive 5"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert find_addresses(text) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My name is Tilda Brackwater.", "Tilda Brackwater"),
        ("Kind regards, Oyvind Sjostrom", "Oyvind Sjostrom"),
        ("It is Anna Kestrel here.", "Anna Kestrel"),
        ("My son Samuel Ferrow set it up.", "Samuel Ferrow"),
        ("Ask for Mrs Hollander at the gate.", "Mrs Hollander"),
        ("Karen O'Dowd signed for it.", "Karen O'Dowd"),
        ("It was for Petra van den Berg, upstairs.", "Petra van den Berg"),
    ],
)
def test_full_names(text: str, name: str) -> None:
    assert parts(text, find_names(text)) == [name]


@pytest.mark.parametrize(
    "text",
    ["My neighbour Jürgen has it, too.", "The grinder is a Clara Mill.",
     "We use the Oscar Hearth mixer.",
     "Greetings from Zoë.", "Is the Brisa Kettle in stock?", "Our Anna Blue gave up.",
     "I love New York City.", "Good Morning Everyone"],
)  # fmt: skip
def test_what_is_no_full_name(text: str) -> None:
    assert find_names(text) == []


def test_a_name_alone_answers_the_question_for_it() -> None:
    assert find_names("Tilda Brackwater tbrack9") == []
    assert find_names("Tilda Brackwater tbrack9", "May I have your full name?") == [(0, 16)]
    assert find_names("Brisa Kettle please", "What is the name of the product?") == []


def test_the_goals_restaurant_is_no_person() -> None:
    slots = {"restaurant_name": "Paul Martin", "customer_name": "anna kestrel"}
    talk = Dialogue("d", [Message("user", "Hi"), Message("assistant", "Hello.")])
    talk.goal = {"intent": "x", "slots": slots}
    cleaned, _ = redact_personal_data(talk)
    assert cleaned is not None and cleaned.goal is not None
    assert cleaned.goal["slots"] == {"restaurant_name": "Paul Martin", "customer_name": "[NAME]"}


def test_every_kind_gets_its_placeholder_and_spans_move_along() -> None:
    text = "I am called Anna Kestrel, 12 Rowan Street. Card 4242 4242 4242 4242. The Brisa kettle?"
    start = text.index("Brisa")
    entity = Entity("product", start, start + 5, "Brisa", "Brisa kettle")
    talk = Dialogue("d", [Message("user", text, "x", [entity]), Message("assistant", "Yes.")])
    cleaned, changes = redact_personal_data(talk)
    assert cleaned is not None and len(changes) == 1
    message = cleaned.messages[0]
    assert message.content == "I am called [NAME], [ADDRESS]. Card [CARD]. The Brisa kettle?"
    (moved,) = message.entities
    assert message.content[moved.start : moved.end] == "Brisa"


def test_an_annotated_address_is_the_tasks_own() -> None:
    text = "Please send it to 12 Rowan Street instead."
    start, end = text.index("12"), text.index(" instead")
    entity = Entity("address", start, end, text[start:end], text[start:end])
    talk = Dialogue("d", [Message("user", text, None, [entity]), Message("assistant", "Done.")])
    assert redact_personal_data(talk) == (talk, [])
    bare = Dialogue("d", [Message("user", text), Message("assistant", "Done.")])
    cleaned, _ = redact_personal_data(bare)
    assert cleaned is not None and "[ADDRESS]" in cleaned.messages[0].content


def test_the_agents_own_name_stays_and_the_customers_goes_everywhere() -> None:
    talk = Dialogue(
        "d",
        [
            Message("user", "My name is Anna Kestrel."),
            Message("assistant", "Thank you, Anna Kestrel. It is Martin Feld here."),
        ],
    )
    cleaned, _ = redact_personal_data(talk)
    assert cleaned is not None
    assert [m.content for m in cleaned.messages] == [
        "My name is [NAME].", "Thank you, [NAME]. It is Martin Feld here."
    ]  # fmt: skip


def test_a_card_is_no_telephone_number() -> None:
    (item,) = find_personal_data("Call me about 4242 4242 4242 4242.")
    assert item.placeholder == "[CARD]"
