"""Cleaning: what each step must do, what it must leave alone, and that nothing gets lost."""

from __future__ import annotations

import copy
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.cleaning import (
    Change,
    CleaningConfig,
    CleaningReport,
    NearIndex,
    apply_edits,
    changes,
    check_roles,
    clean,
    config,
    deduplicate,
    drop_empty_turns,
    drop_loops,
    edits_between,
    find_cut_replies,
    find_personal_data,
    find_swapped_roles,
    jaccard,
    move_span,
    redact_personal_data,
    remove_leaks,
    repair_text,
    repaired,
    role_odds,
    shingles,
)
from course_lib.cleaning.duplicates import dialogue_text
from course_lib.cleaning.habits import _breaks_off
from course_lib.dialogue import Dialogue, Entity, Message, Reject, read_dialogues, validate
from course_lib.sources import read_source
from tests.cleaning.talks import LONG, LOOPS, mixed, shop_talks, talk

REPO = Path(__file__).resolve().parents[2]
SAMPLES = Path(os.environ.get("COURSE_SAMPLES", REPO.parent / "shared" / "samples"))
HOTLINE, OFFICE = "0800 555 0134", "help@marrowby.example"


def real(name: str) -> list[Dialogue]:
    if not (SAMPLES / name).is_dir():
        pytest.skip(f"no real {name} files in {SAMPLES}; set COURSE_SAMPLES to their folder")
    return list(read_source(name, SAMPLES / name))


def marked(text: str, part: str, value: str | None = None, slot: str = "product") -> Message:
    start = text.index(part)
    entity = Entity(slot, start, start + len(part), part, value or part)
    return Message("user", text, entities=[entity])


def texts(dialogue: Dialogue | None) -> list[str]:
    assert dialogue is not None
    return [message.content for message in validate(dialogue).messages]


# --- spans through edits --------------------------------------------------------------------

MOVES = [
    # span 4:8 of "the lamp is" under one edit
    ((0, 0, "Oh, "), (8, 12)),
    ((0, 4, ""), (0, 4)),
    ((8, 11, ""), (4, 8)),
    ((4, 4, "new "), (8, 12)),  # put before the span, not into it
    ((8, 8, "s"), (4, 8)),
    ((5, 6, "aaa"), (4, 10)),
    ((4, 8, "[X]"), (4, 7)),
    ((2, 6, "y"), None),
    ((6, 9, "y"), None),
    ((6, 10, "y"), None),
    ((3, 9, "y"), None),
    ((4, 8, ""), None),
]


@pytest.mark.parametrize(("edit", "span"), MOVES)
def test_a_span_moves_with_an_edit_or_is_given_up(
    edit: tuple[int, int, str], span: tuple[int, int] | None
) -> None:
    assert move_span(4, 8, [edit]) == span


def test_random_edits_move_a_span_to_the_same_marked_text() -> None:
    rng = random.Random(5)
    for _ in range(500):
        head, core, tail = ("".join(rng.choices("ab ", k=rng.randint(1, 9))) for _ in range(3))
        before = f"{head}<{core}>{tail}"
        edits = []
        for place in sorted(rng.sample(range(len(before) - 1), 2)):
            if before[place] not in "<>" and (not edits or edits[-1][1] <= place):
                edits.append((place, place + 1, rng.choice(["", "Q", "QQQ"])))
        start, end = before.index("<"), before.index(">") + 1
        after = apply_edits(before, edits)
        span = move_span(start, end, edits)
        assert span is not None
        assert after[slice(*span)] == after[after.index("<") : after.index(">") + 1]


def test_edits_between_two_texts_rebuild_the_second() -> None:
    rng = random.Random(6)
    for _ in range(200):
        one, other = ("".join(rng.choices("abc", k=rng.randint(0, 12))) for _ in range(2))
        assert apply_edits(one, edits_between(one, other)) == other


# --- repair_text ----------------------------------------------------------------------------

REPAIRS = [
    ("The cafÃ© machine costs â‚¬39", "The café machine costs €39"),
    ("It donâ€™t work", "It don’t work"),
    ("Fish &amp; chips &lt; 5 &quot;now&quot;", 'Fish & chips < 5 "now"'),
    ("twice &amp;amp; for all", "twice & for all"),
    ("<p>Hello<br/>there</p>", "Hello there"),
    ('a <b>bold</b> <a href="x">link</a>', "a bold link"),
    ("Corvo\u200b la\u00admp\ufeff", "Corvo lamp"),
    ("ke\u200dttle", "kettle"),
    ("bell\x07 and \x00nul", "bell and nul"),
    ("ＣＯＲＶＯ　ｌａｍｐ！", "CORVO lamp!"),
    ("39\u00a0euros", "39 euros"),
]
LEFT_ALONE = [
    "AT&T and R&D, me & you",
    "3 < 4, I <3 it, a < b > c",
    "&notanentity; &T;",
    "café, naïve, Zürich, SÃO PAULO, ½, …",
    "a family 👨‍👩‍👧 and a heart ❤️",
    "“curly” it’s – fine",
    "<order_id> and <|user|>",
    "  two  spaces\nand a line ",
    "£30 or 39 €",
]


@pytest.mark.parametrize(("raw", "good"), REPAIRS)
def test_damaged_text_is_repaired(raw: str, good: str) -> None:
    assert repaired(raw) == good
    assert repaired(good) == good
    cleaned, changes = repair_text(talk(raw, "Yes."))
    assert texts(cleaned) == [good, "Yes."]
    (change,) = changes
    assert (change.message, change.before, change.after) == (0, raw, good)
    assert not change.is_flag and change.reason


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_legitimate_text_is_left_alone(text: str) -> None:
    dialogue = talk(text, "Yes.")
    cleaned, changes = repair_text(dialogue)
    assert cleaned is dialogue and changes == []


def test_full_width_marks_stay_in_chinese() -> None:
    dialogue = replace(talk("你好！多少钱？", "三十九元。"), lang="zh")
    assert repair_text(dialogue) == (dialogue, [])


def test_repair_moves_spans_and_repairs_values() -> None:
    text = "<p>Is the CafÃ© Cor\u200bvo &amp; co. any good, the ＣＯＲＶＯ?</p>"
    message = marked(text, "CafÃ© Cor\u200bvo")
    start = text.index("ＣＯＲＶＯ")
    message.entities.append(Entity("product", start, start + 5, "ＣＯＲＶＯ", "Corvo lamp"))
    dialogue = Dialogue("d1", [message, Message("assistant", "Yes.")])
    untouched = copy.deepcopy(dialogue)
    cleaned, _ = repair_text(validate(dialogue))
    assert texts(cleaned)[0] == "Is the Café Corvo & co. any good, the CORVO?"
    assert cleaned is not None
    entities = cleaned.messages[0].entities
    assert [entity.text for entity in entities] == ["Café Corvo", "CORVO"]
    assert [entity.value for entity in entities] == ["Café Corvo", "Corvo lamp"]
    assert dialogue == untouched  # steps never alter what they are given


def test_a_span_ends_where_the_full_width_words_do() -> None:
    message = marked(
        "Ｉｓ ｔｈｅ Ｃｏｒｖｏ ｌａｍｐ， ｌｏｕｄ？", "Ｃｏｒｖｏ ｌａｍｐ", "Corvo lamp"
    )
    cleaned, _ = repair_text(Dialogue("d1", [message, Message("assistant", "No.")]))
    assert texts(cleaned)[0] == "Is the Corvo lamp, loud?" and cleaned is not None
    assert [entity.text for entity in cleaned.messages[0].entities] == ["Corvo lamp"]


def test_a_span_that_has_no_place_left_is_reported() -> None:
    text = "Take the lamp<br>now"
    message = marked(text, "<br>")
    cleaned, changes = repair_text(Dialogue("d1", [message, Message("assistant", "Done.")]))
    assert texts(cleaned)[0] == "Take the lamp now" and cleaned is not None
    lost = [change for change in changes if "'product' entity" in change.reason]
    assert len(lost) + len(cleaned.messages[0].entities) == 1
    cut = marked("AB<br>CD tail", "<br>CD")
    cut = replace(cut, entities=[Entity("product", 4, 7, "r>C", "r>C")])
    _, changes = repair_text(Dialogue("d1", [cut, Message("assistant", "Done.")]))
    assert [change.before for change in changes if "cuts through" in change.reason] == ["r>C"]


# --- drop_empty_turns, check_roles, drop_loops ----------------------------------------------


def test_empty_turns_go_and_are_named() -> None:
    cleaned, changes = drop_empty_turns(talk("hi", "Hello.", " \n", "Are you there?"))
    assert texts(cleaned) == ["hi", "Hello.", "Are you there?"]
    assert [(change.message, change.after) for change in changes] == [(2, None)]


def test_a_reply_that_was_lost_sets_the_dialogue_aside() -> None:
    for lost in (talk("hi", ""), talk("hi", " ", "you there?", "Yes.")):
        cleaned, changes = drop_empty_turns(lost)
        assert cleaned is None and "the reply in message 1 is lost" in changes[0].reason


def test_an_empty_agent_turn_beside_a_full_one_is_no_lost_reply() -> None:
    roles = ["assistant", "user", "assistant", "assistant", "user"]
    said = ["", "hi", "", "Hello.", "bye"]
    dialogue = Dialogue("d1", [Message(r, text) for r, text in zip(roles, said, strict=True)])
    assert texts(drop_empty_turns(dialogue)[0]) == ["hi", "Hello.", "bye"]


def test_a_dialogue_of_empty_turns_is_set_aside() -> None:
    cleaned, changes = drop_empty_turns(talk("", "  "))
    assert cleaned is None and len(changes) == 1


def test_text_that_is_only_dirt_becomes_an_empty_turn() -> None:
    report = clean([talk("hi", "Hello.", "\u200b\u200b", "Still there?")])
    assert texts(report.kept[0]) == ["hi", "Hello.", "Still there?"]


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (["user", "user"], "no assistant turn"),
        (["assistant", "tool"], "no user turn"),
        (["user", "system", "assistant"], "a system turn inside"),
    ],
)
def test_impossible_roles_are_set_aside(roles: list[str], said: str) -> None:
    cleaned, changes = check_roles(Dialogue("d1", [Message(role, "words") for role in roles]))
    assert cleaned is None and said in changes[0].reason


@pytest.mark.parametrize(
    "roles",
    [
        ["assistant", "user"],
        ["assistant", "assistant", "user", "user", "tool", "assistant"],
        ["system", "user", "assistant"],
        ["user", "assistant", "user"],
    ],
)
def test_real_orders_of_speakers_are_fine(roles: list[str]) -> None:
    dialogue = Dialogue("d1", [Message(role, "words") for role in roles])
    assert check_roles(dialogue) == (dialogue, [])


NO_LOOPS = [
    "I can help. I can help. I can help!",
    "no no no no, that is fine",
    "Press the button. Wait. Press the button again. Wait. Press it.",
    "It is 1 1 1 1 on the code.",
    "Monday to Friday, Monday to Friday and Monday to Friday",
]


@pytest.mark.parametrize("reply", LOOPS)
def test_a_looping_reply_sets_the_dialogue_aside(reply: str) -> None:
    cleaned, changes = drop_loops(talk("hello", reply))
    assert cleaned is None
    assert changes[0].message == 1 and "4 times" in changes[0].reason


@pytest.mark.parametrize("reply", NO_LOOPS)
def test_an_emphatic_reply_is_no_loop(reply: str) -> None:
    dialogue = talk("hello", reply)
    assert drop_loops(dialogue) == (dialogue, [])


def test_a_customer_may_say_it_four_times() -> None:
    dialogue = talk(LOOPS[0], "I see.")
    assert drop_loops(dialogue) == (dialogue, [])


# --- redact_personal_data -------------------------------------------------------------------

PERSONAL = [
    ("write to jo.smith+x@post.example.", "write to [EMAIL]."),
    ("call me on +44 7700 900123 please", "call me on [PHONE] please"),
    ("it is (555) 014-2233", "it is [PHONE]"),
    ("my number is 0171 555 1234", "my number is [PHONE]"),
    ("415-732-7777", "[PHONE]"),
    ("you can reach me on 07700900123!", "you can reach me on [PHONE]!"),
    ("my mobile is 9776252661, order 3348917502", "my mobile is [PHONE], order 3348917502"),
    ("call me at 555-0142 or a@b.example", "call me at [PHONE] or [EMAIL]"),
    ("on 0171 555 1234. 39 euros is fine", "on [PHONE]. 39 euros is fine"),
    ("0171/555 1234 or +49 (0)30 901820", "[PHONE] or [PHONE]"),
]
NOT_PERSONAL = [
    "Subject: Re: your question (27-08-2025, 21:23)",
    "3348917502",
    "my order is 3348917502",
    "Order no. 334-891-7502",
    "order number: 0334 891 7502",
    "I phoned about order 3348917502",
    "my phone shows order status for 3348917502",
    "it cost 1299.99 euros, 2,200 watts",
    "bought on 2019-11-06, or 06.11.2026, or 06/11/2026",
    "part number KX-204-2231-9981",
    "from 2020-2024, 9.00-17.30",
    "my account number is 0012-345-678",
    "see you @home at 5",
    f"I called {HOTLINE} and wrote to {OFFICE}",
    "your hotline 0800-5550134 is busy, my phone says",
]


@pytest.mark.parametrize(("raw", "good"), PERSONAL)
def test_the_customers_contacts_are_redacted(raw: str, good: str) -> None:
    cleaned, changes = redact_personal_data(talk(raw, "Thanks."), [HOTLINE, OFFICE])
    assert texts(cleaned) == [good, "Thanks."]
    assert changes[0].before == raw and changes[0].after == good


@pytest.mark.parametrize("text", NOT_PERSONAL)
def test_orders_prices_dates_and_our_contacts_stay(text: str) -> None:
    dialogue = talk(text, "Thanks.")
    assert redact_personal_data(dialogue, [HOTLINE, OFFICE]) == (dialogue, [])


def test_digits_are_a_telephone_number_where_the_agent_asked_for_one() -> None:
    asked = talk("What phone number can I reach you on?", "9776252661", first="assistant")
    assert texts(redact_personal_data(asked)[0])[1] == "[PHONE]"
    order = talk(
        "Your order number, please, or your phone number?", "9776252661", first="assistant"
    )
    assert redact_personal_data(order) == (order, [])


def test_an_agents_number_is_redacted_only_when_it_is_the_customers() -> None:
    public = talk("Is it open?", "Yes. You can reach them at 415-732-7777.")
    assert redact_personal_data(public) == (public, [])
    echo = talk("I'm on 415 732 7777", "So that is 415-732-7777?")
    assert texts(redact_personal_data(echo)[0])[1] == "So that is [PHONE]?"
    known = talk("Ring me tomorrow", "We will call you on 415-732-7777.")
    assert texts(redact_personal_data(known)[0])[1] == "We will call you on [PHONE]."


def test_redaction_moves_spans_and_leaves_no_copy_in_the_annotations() -> None:
    text = "I'm at jo@post.example about the Corvo lamp"
    message = marked(text, "Corvo lamp")
    message.entities.insert(0, Entity("email", 7, 22, "jo@post.example", "jo@post.example"))
    goal = {"intent": "x", "slots": {"email": "jo@post.example", "order": "3348917502", "n": 3}}
    dialogue = Dialogue("d1", [message, Message("assistant", "Noted.")], goal=goal)
    cleaned, changes = redact_personal_data(validate(dialogue))
    assert texts(cleaned)[0] == "I'm at [EMAIL] about the Corvo lamp"
    assert cleaned is not None and cleaned.goal is not None
    assert [(e.text, e.value) for e in cleaned.messages[0].entities] == [
        ("[EMAIL]", "[EMAIL]"),
        ("Corvo lamp", "Corvo lamp"),
    ]
    assert cleaned.goal["slots"] == {"email": "[EMAIL]", "order": "3348917502", "n": 3}
    assert "jo@post" not in str(cleaned.to_dict())
    assert len(changes) == 2 and goal["slots"]["email"] == "jo@post.example"


def test_without_the_allow_list_our_hotline_would_go() -> None:
    assert find_personal_data(HOTLINE)[0].placeholder == "[PHONE]"


# --- deduplicate, remove_leaks --------------------------------------------------------------


def test_exact_copies_name_the_first() -> None:
    loud = [text.upper().replace(",", " -- ") for text in LONG]
    kept, rejected, flags = deduplicate(
        [talk(*LONG, name="a"), talk("Hi", "Hello", name="b"), talk(*loud, name="c")]
    )
    assert [dialogue.id for dialogue in kept] == ["a", "b"] and flags == []
    assert [(r.dialogue_id, r.equals) for r in rejected] == [("c", "a")]


def test_the_same_words_by_other_speakers_are_no_copy() -> None:
    pair = [talk("Hello", "Bye", name="a"), talk("Hello", "Bye", name="b", first="assistant")]
    kept, _, _ = deduplicate(pair, threshold=1.0)
    assert len(kept) + len(deduplicate(pair, 1.0)[1]) == 2


def test_near_copies_go_and_the_threshold_counts() -> None:
    typo = [LONG[0].replace("switch", "swich"), *LONG[1:]]
    pair = [talk(*LONG, name="a"), talk(*typo, name="b")]
    alike = jaccard(shingles(dialogue_text(pair[0])), shingles(dialogue_text(pair[1])))
    assert 0.9 < alike < 1
    assert [r.equals for r in deduplicate(pair, 0.9)[1]] == ["a"]
    assert deduplicate(pair, min(1.0, alike + 0.001))[1] == []


@pytest.mark.parametrize("differs", ["number", "value", "intent"])
def test_a_minimal_pair_is_flagged_and_kept(differs: str) -> None:
    pair = [talk(*LONG, name="a"), talk(*LONG, name="b")]
    pair[1].messages[0].content += " ok"
    if differs == "number":
        pair[0].messages[0].content += " 3348917502"
        pair[1].messages[0].content += " 3348917503"
    elif differs == "value":
        pair[0].messages[0].entities = [Entity("product", 10, 16, "kettle", "Brisa kettle")]
        pair[1].messages[0].entities = [Entity("product", 10, 16, "kettle", "Corvo kettle")]
    else:
        pair[0].messages[0].intent, pair[1].messages[0].intent = "fault", "return_item"
    kept, rejected, flags = deduplicate(pair, 0.85)
    assert len(kept) == 2 and rejected == []
    assert [(flag.dialogue_id, flag.is_flag) for flag in flags] == [("b", True)]
    assert "'a'" in flags[0].reason


def test_repeated_closings_are_kept() -> None:
    first = talk("Is it open?", "Yes, until six.", "Thanks, bye.", "You're welcome!", name="a")
    other = talk(
        "Do you sell lamps?", "We do, four kinds.", "Thanks, bye.", "You're welcome!", name="b"
    )
    kept, rejected, _ = deduplicate([first, other])
    assert kept == [first, other] and rejected == []


def _random_texts(count: int, rng: random.Random) -> list[str]:
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 6))) for _ in range(40)]
    made = [" ".join(rng.choices(words, k=rng.randint(1, 15))) for _ in range(count)]
    for _ in range(count // 2):
        near = list(rng.choice(made))
        for _ in range(rng.randint(0, 4)):
            near[rng.randrange(len(near))] = rng.choice("abc ")
        made.append("".join(near))
    rng.shuffle(made)
    return made


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_the_index_finds_every_near_pair_that_brute_force_finds(threshold: float) -> None:
    made = _random_texts(150, random.Random(int(threshold * 10)))
    sets = [shingles(text) for text in made]
    index, hits = NearIndex(made, threshold), 0
    for number in range(len(made)):
        alike = [(jaccard(sets[number], sets[other]), -other) for other in range(number)]
        best = max((pair for pair in alike if pair[0] >= threshold), default=None)
        assert index.nearest(number) == (best and (-best[1], best[0]))
        hits += best is not None
        index.add(number)
    assert hits > 10


def test_a_threshold_out_of_range_is_refused() -> None:
    for threshold in (0, -0.1, 1.1):
        with pytest.raises(ValueError, match="threshold"):
            NearIndex(["a"], threshold)


def test_leaks_are_removed_from_the_training_set() -> None:
    held_out = [replace(talk(*LONG, name="h1"), family_id="f9"), talk("Hi", "Hello", name="h2")]
    typo = [LONG[0].replace("switch", "swich"), *LONG[1:]]
    family = replace(talk("Something else", "Quite.", name="t2"), family_id="f9")
    fine = replace(talk("A lamp, please", "Which one?", name="t3"), family_id="f1")
    kept, rejected = remove_leaks([talk(*typo, name="t1"), family, fine], held_out)
    assert kept == [fine]
    assert [(r.dialogue_id, r.equals) for r in rejected] == [("t1", "h1"), ("t2", "h1")]
    assert "family" in rejected[1].reason
    assert remove_leaks([fine], [])[0] == [fine]


def test_a_copy_that_says_more_is_still_a_copy() -> None:
    more = talk(*LONG, "No, thank you, bye.", "Goodbye!", name="b")
    more.messages[4].intent = "thanks"
    for pair in ([talk(*LONG, name="a"), more], [more, talk(*LONG, name="a")]):
        assert [r.dialogue_id for r in deduplicate(pair)[1]] == [pair[1].id]


def test_the_same_stock_reply_makes_short_dialogues_no_copies() -> None:
    reply = (
        "Please use the link that we send to the e-mail address of your account; with it you can "
        "set a new password, and the old one is gone."
    )
    one = talk("I have forgotten my password.", reply, name="a")
    other = talk("Please help me log in again.", reply, name="b")
    assert jaccard(*(shingles(dialogue_text(d)) for d in (one, other))) > 0.6
    assert deduplicate([one, other])[0] == [one, other]
    typo = talk("I have forgotten my pasword.", reply, name="c")
    assert [r.dialogue_id for r in deduplicate([one, typo])[1]] == ["c"]


def test_what_a_dialogue_alone_says_is_not_lost_as_a_copy() -> None:
    more = talk(*LONG, "And the price?", "It is 39 euros.", name="b")
    kept, rejected, flags = deduplicate([talk(*LONG, name="a"), more])
    assert len(kept) == 2 and rejected == [] and [flag.dialogue_id for flag in flags] == ["b"]
    assert [r.dialogue_id for r in deduplicate([more, talk(*LONG, name="a")])[1]] == ["a"]


def test_a_copy_is_found_behind_a_nearer_minimal_pair() -> None:
    talks = [talk(f"{LONG[0]} {n}", *LONG[1:], name=f"{n}") for n in (1000, 1001)]
    again = talk(
        "Hi, and hello to all of you who are there! " + talks[0].messages[0].content,
        *LONG[1:],
        name="again",
    )
    near = talk(
        "Hi, and hello to all of you who are there! " + talks[1].messages[0].content,
        *LONG[1:],
        name="near",
    )
    index = NearIndex([dialogue_text(d) for d in (talks[0], near, again)], 0.6)
    index.add(0)
    index.add(1)
    assert index.nearest(2) == index.near(2)[0] and index.near(2)[0][0] == 1
    kept, rejected, _ = deduplicate([talks[0], near, again])
    assert [(r.dialogue_id, r.equals) for r in rejected] == [("again", "1000")]


def test_two_labels_for_the_same_words_are_flagged_though_both_occur() -> None:
    pair = [talk(*LONG, name="a"), talk(*LONG, name="b")]
    for dialogue, intents in zip(pair, (("x", "y"), ("y", "y")), strict=True):
        dialogue.messages[0].intent, dialogue.messages[2].intent = intents
    kept, rejected, flags = deduplicate(pair)
    assert len(kept) == 2 and len(flags) == 1


# --- find_swapped_roles, find_cut_replies -------------------------------------------------


def swapped(dialogue: Dialogue) -> Dialogue:
    other = {"user": "assistant", "assistant": "user"}
    return replace(dialogue, messages=[replace(m, role=other[m.role]) for m in dialogue.messages])


def test_swapped_roles_are_found_from_the_data_alone() -> None:
    talks = shop_talks()
    talks[7] = swapped(talks[7])
    kept, rejected, _ = find_swapped_roles(talks)
    assert [r.dialogue_id for r in rejected] == ["t7"] and len(kept) == 39
    assert "swapped" in rejected[0].reason


def test_a_few_dialogues_are_too_little_to_judge_roles_by() -> None:
    talks = shop_talks(3)
    talks[1] = swapped(talks[1])
    assert find_swapped_roles(talks)[0] == talks


def test_where_both_sides_talk_alike_roles_are_not_judged() -> None:
    rng = random.Random(9)
    words = ["yes", "no", "maybe", "tea", "milk", "rain", "sun", "late", "soon", "here"]
    said = [[" ".join(rng.choices(words, k=6)) for _ in range(6)] for _ in range(60)]
    talks = [talk(*turns, name=f"t{number}") for number, turns in enumerate(said)]
    assert min(role_odds(talks)) < -5  # the odds alone would misjudge some
    assert find_swapped_roles(talks)[0] == talks


def test_cut_replies_are_found_where_replies_have_final_marks() -> None:
    talks = shop_talks()
    talks[9].messages[1].content = "I am sorry about th"
    kept, rejected, _ = find_cut_replies(talks)
    assert [r.dialogue_id for r in rejected] == ["t9"] and len(kept) == 39


def test_where_many_replies_have_no_final_mark_it_means_nothing() -> None:
    talks = shop_talks()
    for dialogue in talks[:5]:
        dialogue.messages[1].content = "one moment please"
    assert find_cut_replies(talks)[0] == talks


@pytest.mark.parametrize(
    "end", ["Done.", "Done!", "Really?", "Done :)", "Good 😊", "(yes)", "“ok”"]
)
def test_final_marks(end: str) -> None:
    assert not _breaks_off(end)
    assert _breaks_off("It is mad")


# --- the whole ------------------------------------------------------------------------------


def test_every_dialogue_is_accounted_for_once() -> None:
    unreadable = [Reject("raw.jsonl", 17, None, "broken JSON", "{")]
    report = clean(mixed(), unreadable=unreadable)
    assert report.read == 8 == len(report.kept) + len(report.rejected)
    assert sorted(dialogue.id for dialogue in report.kept) == ["a", "broken", "phone"]
    assert {r.dialogue_id: r.step for r in report.rejected} == {
        "copy": "deduplicate",
        "loop": "drop_loops",
        "alone": "check_roles",
        "empty": "drop_empty_turns",
        None: "read",
    }
    assert all(rejected.reason for rejected in report.rejected)
    assert report.altered == {"broken", "phone"}
    assert report.counts["read"] == 8 and report.counts["rejected by read"] == 1
    for dialogue in report.kept:
        validate(dialogue)


def test_the_counts_of_each_step_are_dialogues_and_add_up() -> None:
    pair = [talk(f"Order 334891750{n}.", *LONG[1:], name=f"pair {n}") for n in (1, 2)]
    twice = talk("Tea &amp; milk, is that on?", "Both &amp; sugar.", name="twice")
    unreadable = [Reject("raw.jsonl", 17, None, "broken JSON", "{")]
    report = clean([*mixed()[2:], *pair, twice], unreadable=unreadable)
    by_step = report.by_step()
    assert by_step["repair_text"] == {"altered": 2, "set aside": 0, "flagged": 0}
    assert by_step["drop_loops"] == {"altered": 0, "set aside": 1, "flagged": 0}
    assert by_step["deduplicate"] == {"altered": 0, "set aside": 0, "flagged": 1}
    assert list(by_step)[0] == "read" and list(by_step)[-1] == "deduplicate"
    assert sum(row["set aside"] for row in by_step.values()) == len(report.rejected)
    assert CleaningReport().by_step() == {}


def test_the_table_tells_counts_steps_and_an_example() -> None:
    table = clean(mixed(), unreadable=[Reject("raw", 17, None, "broken JSON", "{")]).table()
    for piece in ("kept", "redact_personal_data", "deduplicate", "line 17", "loop", "copy"):
        assert piece in table
    assert CleaningReport().table()


def test_steps_can_be_left_out_and_unknown_ones_are_refused() -> None:
    report = clean(mixed(), CleaningConfig(steps=("repair_text",)))
    assert len(report.kept) == 7 and report.altered == {"broken"}
    with pytest.raises(ValueError, match="unknown cleaning steps"):
        CleaningConfig(steps=("repair",))


def test_cleaning_twice_changes_nothing_more() -> None:
    once = clean(mixed())
    again = clean(once.kept)
    assert again.kept == once.kept and again.rejected == [] and again.changes == []


def test_the_input_is_never_altered() -> None:
    given = mixed()
    before = copy.deepcopy(given)
    clean(given)
    assert given == before


def _keep_all(dialogue: Dialogue) -> tuple[Dialogue, list[Change]]:
    return dialogue, []


@pytest.mark.parametrize("name", ["repair_text", "drop_empty_turns", "check_roles"])
def test_a_step_that_does_nothing_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, name, _keep_all)
    with pytest.raises(AssertionError):
        test_every_dialogue_is_accounted_for_once()


def _spans_stay(start: int, end: int, edits: object) -> tuple[int, int]:
    return start, end


@pytest.mark.parametrize(
    "check",
    [
        test_repair_moves_spans_and_repairs_values,
        test_redaction_moves_spans_and_leaves_no_copy_in_the_annotations,
    ],
)
def test_spans_that_do_not_move_are_noticed(
    check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "move_span", _spans_stay)
    with pytest.raises((AssertionError, ValueError)):
        check()


# --- real data ------------------------------------------------------------------------------


def test_cleaning_harms_under_one_percent_of_real_dialogues() -> None:
    dialogues = real("sgd")
    report = clean(dialogues)
    harmed = len(report.rejected) + len(report.altered)
    assert harmed < 0.01 * len(dialogues)
    before = {dialogue.id: dialogue for dialogue in dialogues}
    spans = 0
    for dialogue in report.kept:
        old = before[dialogue.id]
        if dialogue.id not in report.altered:
            assert texts(dialogue) == texts(old)
        valid = [len(message.entities) for message in validate(dialogue).messages]
        assert valid == [len(message.entities) for message in old.messages]
        spans += sum(valid)
    assert spans > 1_000


def test_defects_planted_in_real_dialogues_are_found() -> None:
    dialogues = real("sgd")
    planted = [copy.deepcopy(dialogue) for dialogue in dialogues[:10]]
    for number, dialogue in enumerate(planted):
        dialogue.id = f"planted-{number}"
    planted[0].messages[2].content += " <br> caf\u00c3\u00a9"
    planted[1].messages[1].content = LOOPS[0]
    planted[2].messages[0].content += " Call me on 07700 900123."
    report = clean([*dialogues, *planted])
    away = {r.dialogue_id: r.step for r in report.rejected}
    assert away["planted-1"] == "drop_loops"
    assert {f"planted-{n}" for n in range(3, 10)} <= set(away)
    turned = clean([*dialogues[3:], swapped(dialogues[0]), swapped(dialogues[1])]).rejected
    assert [r.step for r in turned] == ["find_swapped_roles"] * 2
    assert not set(away) & {dialogue.id for dialogue in dialogues}
    reached = {c.dialogue_id: c.step for c in report.changes if c.step != "deduplicate"}
    assert reached["planted-0"] == "repair_text"
    assert reached["planted-2"] == "redact_personal_data"


def test_repeated_closings_of_real_dialogues_are_kept() -> None:
    dialogues = real("sgd")
    said = Counter(message.content for dialogue in dialogues for message in dialogue.messages)
    assert sum(count - 1 for count in said.values()) > 100
    turns = {dialogue.id: len(dialogue.messages) for dialogue in dialogues}
    report = clean(dialogues)
    assert [d.id for d in report.kept if len(d.messages) != turns[d.id]] == []
    assert [r.dialogue_id for r in report.rejected if r.step == "deduplicate"] == []


def test_no_order_or_account_number_of_real_dialogues_is_redacted() -> None:
    dialogues = real("abcd")
    report = clean(dialogues)
    assert len(report.kept) == len(dialogues)
    numbers = 0
    for before, after in zip(dialogues, report.kept, strict=True):
        assert before.goal is not None and after.goal is not None
        for slot in ("order_id", "account_id", "username"):
            value = before.goal["slots"].get(slot)
            if value:
                assert after.goal["slots"][slot] == value
                spoken = sum(value in message.content.split() for message in before.messages)
                left = sum(value in message.content.split() for message in after.messages)
                assert spoken == left
                numbers += spoken
        for slot in ("phone", "email"):
            value = before.goal["slots"].get(slot, "\0")
            assert value not in str(after.to_dict())
    assert numbers >= 3
    assert "3348917502" in str(report.kept[0].to_dict())


# --- speed ----------------------------------------------------------------------------------


def seconds_to_clean_dialogues_with_one_stem(count: int) -> float:
    rng = random.Random(3)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(400)]
    stem = "Could you tell me whether the"
    dialogues = [
        talk(
            *(f"{stem} {' '.join(rng.choices(words, k=rng.randint(4, 12)))} é?" for _ in range(4)),
            name=f"d{number}",
        )
        for number in range(count)
    ]
    started = time.process_time()
    report = clean(dialogues)
    assert len(report.kept) == count
    return time.process_time() - started


def test_dialogues_that_all_begin_alike_are_not_compared_each_with_each() -> None:
    # Three times as many take three to four times as long; each with each would be nine times.
    few = min(seconds_to_clean_dialogues_with_one_stem(1_000) for _ in range(2))
    assert seconds_to_clean_dialogues_with_one_stem(3_000) < 6 * few


def test_a_written_file_is_cleaned_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    path.write_text('{"id": "x", "messages": [{"role": "user", "content": "hi"}]}\n{"id"\n')
    unreadable: list[Reject] = []
    report = clean(read_dialogues(path, unreadable), unreadable=unreadable)
    assert report.read == 2 and report.kept == []
    assert sorted(rejected.step for rejected in report.rejected) == ["check_roles", "read"]
    assert [rejected.line for rejected in report.rejected if rejected.step == "read"] == [2]
