"""Baselines: keyword rules, majority, TF-IDF, and a gazetteer that finds whole words."""

from __future__ import annotations

from itertools import islice

import pytest

pytest.importorskip("sklearn")

from course_lib.annotation.baselines import (
    Average,
    Gazetteer,
    learn_gazetteer,
    load_rules,
    majority,
    rules_from,
    tfidf,
)
from course_lib.annotation.labels import entity_pairs, examples, intent_pairs
from course_lib.annotation.scores import entity_counts, label_scores, micro_f1
from course_lib.dialogue import Entity, read_dialogues
from tests.tiny import ROOT

SHOP = ROOT / "data" / "shop"


def some(name: str, count: int):
    return list(islice(read_dialogues(SHOP / f"{name}.jsonl"), count))


# ---- keyword rules


@pytest.mark.parametrize(
    ("phrases", "text", "hit"),
    [
        (["clean*"], "How is it CLEANED?", True),
        (["clean*"], "an unclean affair", False),
        (["red"], "a hundred", False),
        (["red light"], "the red  light", True),
        (["red light"], "the red and the light", False),
        (["change ... address"], "Change my old address", True),
        (["change ... address"], "change address", True),
        (["change ... address"], "change a b c d e f g address", False),
        (["send * back"], "send it back", True),
        (["send * back"], "send it all back", False),
        (["order #"], "about order 1234567890", True),
        (["order #"], "about order one", False),
        (["why?"], "But why?", True),
        (["why?"], "whyx", False),
    ],
)
def test_phrases_are_whole_words_with_stars_and_dots(phrases, text, hit):
    assert rules_from({"all": {"yes": phrases}}).guess(text) == ("yes" if hit else "out_of_scope")


def test_the_first_phrase_in_the_text_decides_and_of_equals_the_longest():
    rules = rules_from({"all": {"a": ["light"], "b": ["cord"], "c": ["light red"]}})
    assert rules.predict(["a light and a cord", "a cord and a light"]) == ["a", "b"]
    assert rules.guess("why is the light red") == "c"


def test_groups_go_from_top_to_bottom():
    rules = rules_from({"wishes": {"price": ["price"]}, "courtesies": {"greeting": ["hello"]}})
    assert rules.predict(["Hello, the price?", "Hello!"]) == ["price", "greeting"]


def test_our_rules_name_intents_of_the_shop_only():
    known = {intent for _, intent in intent_pairs(examples(some("train", 800)))}
    rules = load_rules()
    named = {intent for group in rules.groups for intent, _ in group}
    assert named <= known and len(named) > 45


def test_a_broken_file_of_rules_is_named(tmp_path):
    path = tmp_path / "rules.toml"
    for text in ("[requests", '[requests]\na = "b"\n', "[requests]\na = []\n", "a = 1\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="rules.toml: no file of keyword rules"):
            load_rules(path)


def test_keywords_beat_the_majority_on_the_shop():
    train = intent_pairs(examples(some("train", 300)))
    texts, true = zip(*intent_pairs(examples(some("dev", 120))), strict=True)
    most = label_scores(true, list(majority(train).predict(texts)))
    rules = label_scores(true, load_rules().predict(texts))
    assert most.accuracy < 0.2 and most.macro_f1 < 0.02
    assert rules.macro_f1 > 0.5


# ---- TF-IDF


def test_tfidf_learns_and_is_seeded_and_gives_probabilities():
    train = intent_pairs(examples(some("train", 40)))
    texts = [text for text, _ in train[:40]]
    model, same = tfidf(train), tfidf(train)
    assert (model.predict_proba(texts) == same.predict_proba(texts)).all()
    assert model.predict_proba(texts).sum(1) == pytest.approx(1)
    assert (model.predict(texts) == [intent for _, intent in train[:40]]).mean() > 0.9


def test_tfidf_learns_from_a_handful_too():
    model = tfidf([("thank you", "thanks"), ("hello there", "greeting"), ("thanks", "thanks")])
    assert list(model.predict(["hello", "thank"])) == ["greeting", "thanks"]


# ---- several together


def test_the_average_is_scikit_learns_soft_vote():
    from sklearn.ensemble import VotingClassifier

    train = intent_pairs(examples(some("train", 40)))
    texts, intents = zip(*train, strict=True)
    members = [tfidf(train), tfidf(train, strength=0.1)]
    theirs = VotingClassifier([("a", members[0]), ("b", members[1])], voting="soft")
    theirs.fit(texts, intents)
    ours = Average(members)
    asked = [text for text, _ in intent_pairs(examples(some("dev", 20)))]
    assert ours.predict_proba(asked) == pytest.approx(theirs.predict_proba(asked))
    assert ours.predict(asked) == theirs.predict(asked).tolist()
    assert (ours.predict_proba(asked) != members[0].predict_proba(asked)).any()


def test_only_classifiers_of_the_same_labels_are_averaged():
    one = tfidf([("thank you", "thanks"), ("hello", "greeting")])
    other = tfidf([("thank you", "thanks"), ("bye", "goodbye")])
    for members in ([], [one, other]):
        with pytest.raises(ValueError, match="the same labels"):
            Average(members)


# ---- gazetteer

NAMES = {
    "brisa": ("product", "Brisa kettle"),
    "brisa kettle": ("product", "Brisa kettle"),
    "ok-5": ("product", "OK-5 toaster"),
    "blue": ("colour", "blue"),
    "12 €": ("price", "12 euros"),
}


def found(text: str) -> list[tuple[str, str]]:
    return [(entity.text, entity.value) for entity in Gazetteer(NAMES).find(text)]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Is the BRISA Kettle blue?", [("BRISA Kettle", "Brisa kettle"), ("blue", "blue")]),
        ("the Brisa, please", [("Brisa", "Brisa kettle")]),
        ("Brisas and bluebells", []),
        ("subbrisa", []),
        ("Brisa kettles", [("Brisa", "Brisa kettle")]),  # the longer name is no whole word
        ("my OK-5!", [("OK-5", "OK-5 toaster")]),
        ("my OK-55", []),
        ("only 12 €.", [("12 €", "12 euros")]),
        ("", []),
    ],
)
def test_the_longest_name_in_whole_words_whatever_the_case(text, spans):
    assert found(text) == spans


def test_spans_stand_where_they_are_also_after_letters_that_grow_in_lower_case():
    text = "İİ Straße 😀 the Brisa kettle"
    (entity,) = Gazetteer(NAMES).find(text)
    assert text[entity.start : entity.end] == entity.text == "Brisa kettle"


def test_it_learns_the_commonest_slot_and_value():
    def span(slot, value):
        return Entity(slot, 0, 6, "2 years", value)

    pairs = [("", [span("warranty", "2 years")])] * 2 + [("", [span("battery_life", "x")])]
    assert learn_gazetteer(pairs).names == {"2 years": ("warranty", "2 years")}


def test_on_the_shop_it_knows_the_products_but_no_new_numbers():
    learned = learn_gazetteer(entity_pairs(examples(some("train", 800), with_intent=False)))
    pairs = entity_pairs(examples(some("dev", 120), with_intent=False))
    said = learned.predict(text for text, _ in pairs)
    for slot, low, high in (("product", 0.95, 1.0), ("order_number", 0.0, 0.3)):
        kept = [
            [[e for e in row if e.slot == slot] for row in side] for side in (_gold(pairs), said)
        ]
        score = float(micro_f1(entity_counts(range(len(pairs)), *kept).sum(0)))
        assert low <= score <= high, (slot, score)


def _gold(pairs):
    return [entities for _, entities in pairs]
