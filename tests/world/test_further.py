"""The assistant's further dialogues: wordings of their own, nothing held out, more of the rare."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import pytest

from course_lib.cleaning import jaccard, shingles
from course_lib.dialogue import Dialogue, read_dialogues
from course_lib.journey import SHOP
from course_lib.world.catalogue import Catalogue, load_catalogue
from course_lib.world.dialogues import HELD_OUT_INTENTS
from course_lib.world.further import FURTHER, both, further_dialogues
from course_lib.world.splits import SIZES, check_dialogue, check_splits
from course_lib.world.wordings import (
    SHARED,
    Language,
    Wording,
    load_language,
    read_wordings,
    trained_and_held_out,
)

NUMBER = 600
TOO_LIKE = 0.45  # Jaccard index of two wordings' character 5-grams
SAME_WORDS = 0.55  # cosine of two wordings' words, each weighted by how rare it is
Wordings = Mapping[str, Iterable[Wording]]


@pytest.fixture(scope="module")
def further() -> dict[str, tuple[Wording, ...]]:
    return read_wordings(FURTHER)


@pytest.fixture(scope="module")
def languages() -> tuple[Language, Language]:
    return trained_and_held_out(load_language(), (*SHARED, *HELD_OUT_INTENTS))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def held_out() -> dict[str, list[Dialogue]]:
    if not (SHOP / "train.jsonl").is_file():
        pytest.skip("data/shop is not built; run python -m course_lib.world build")
    return {n: list(read_dialogues(SHOP / f"{n}.jsonl")) for n in SIZES if n != "train"}


@pytest.fixture(scope="module")
def dialogues(catalogue: Catalogue, held_out: dict[str, list[Dialogue]]) -> list[Dialogue]:
    return further_dialogues(catalogue, NUMBER, held_out, seed=3)


def letters(wording: Wording) -> set[str]:
    return shingles(re.sub(r"[^a-z{} ]", "", wording.text.lower()))


def too_like(further: Wordings, kept_back: Wordings) -> list[tuple[str, str]]:
    """Pairs of a further wording and one kept back for tests that are nearly the same."""
    backs = [(b.text, letters(b)) for wordings in kept_back.values() for b in wordings]
    found = []
    for wordings in further.values():
        for wording in wordings:
            own = letters(wording)
            found += [(wording.text, b) for b, grams in backs if jaccard(own, grams) > TOO_LIKE]
    return found


def words(text: str) -> set[str]:
    """The text's words without their endings."""
    return {re.sub(r"(ings?|ed|es|s|ly)$", "", w) or w for w in re.findall(r"[a-z]+", text.lower())}


def word_likeness(texts: Iterable[str]) -> Callable[[str, str], float]:
    """Cosine of two texts' rows of words, in which a word counts by its rarity in `texts`."""
    rows = [words(text) for text in texts]
    number = Counter(word for row in rows for word in row)

    def weight(row: set[str]) -> float:
        return sum(math.log(len(rows) / (1 + number[word])) ** 2 for word in row)

    def likeness(one: str, other: str) -> float:
        a, b = words(one), words(other)
        return weight(a & b) / math.sqrt(weight(a) * weight(b))

    return likeness


def kept_back(languages: tuple[Language, Language], name: str) -> list[Wording]:
    trained, held_out = (side.wordings["customer"][name] for side in languages)
    return [wording for wording in held_out if wording not in trained]


def test_further_wordings_fit_where_the_others_stand(further, languages):
    """The same intents, and in each section the same sets of slots."""
    trained = languages[0].wordings["customer"]
    assert not set(further) & {*HELD_OUT_INTENTS, *SHARED} and set(further) <= set(trained)
    for name, wordings in further.items():
        known = {(wording.section, wording.slots) for wording in trained[name]}
        assert {(wording.section, wording.slots) for wording in wordings} <= known, name
        assert not set(wordings) & set(trained[name]), name
    assert min(map(len, further.values())) >= 30


def test_no_further_wording_is_like_one_kept_back(further, languages):
    for name, wordings in further.items():
        assert not too_like({name: wordings}, {name: kept_back(languages, name)})
    unseen = {name: languages[0].wordings["customer"][name] for name in HELD_OUT_INTENTS}
    assert not too_like({"other_request": further["other_request"]}, unseen)


def test_a_planted_leak_is_found(further, languages):
    back = kept_back(languages, "out_of_scope")[0]
    planted = Wording(f"Hello! {back.text}", "main", None)
    assert too_like({"out_of_scope": (planted,)}, {"out_of_scope": [back]}) == [
        (planted.text, back.text)
    ]


def test_no_further_wording_says_the_same_in_other_letters(further, languages):
    """Rare words give much away; what means the same in all other words only a reader finds.

    505 of 2,836 lines were taken out after a reading; most of them this test would not have found.
    """
    rare = ("out_of_scope", "other_request")
    like = word_likeness(w.text for name in rare for w in further[name])
    unseen = [w for name in HELD_OUT_INTENTS for w in languages[0].wordings["customer"][name]]
    for name, more in zip(rare, ([], unseen), strict=True):
        backs = [back.text for back in kept_back(languages, name) + more]
        found = [(w.text, b) for w in further[name] for b in backs if like(w.text, b) > SAME_WORDS]
        assert not found, name
    gum = "How can I get chewing gum off my trousers?"
    assert gum in [back.text for back in kept_back(languages, "out_of_scope")]
    assert like("How do I get chewing gum off a skirt?", gum) > SAME_WORDS


def test_the_dialogues_are_right_and_nothing_crosses(dialogues, held_out, catalogue):
    assert len(dialogues) == NUMBER == len({dialogue.id for dialogue in dialogues})
    assert not [problem for d in dialogues for problem in check_dialogue(d, catalogue)]
    assert not check_splits({"train": dialogues, **held_out}, catalogue)


def test_what_is_to_be_avoided_does_not_come(dialogues, catalogue):
    """The same seed again, with some of its own dialogues held out."""
    avoided = dialogues[:20]
    goals = [dialogue.goal for dialogue in avoided]
    again = further_dialogues(catalogue, 100, {"test": avoided}, seed=3)
    assert not [dialogue for dialogue in again if dialogue.goal in goals]
    assert [d for d in further_dialogues(catalogue, 100, {}, seed=3) if d.goal in goals]


def test_they_speak_in_further_wordings_of_what_is_rare(dialogues, further):
    said = {m.content for d in dialogues for m in d.messages if m.role == "user"}
    assert len(said & {wording.text for wording in further["other_request"]}) > 20
    counts = Counter(m.intent for d in dialogues for m in d.messages)
    train = Counter(m.intent for d in read_dialogues(SHOP / "train.jsonl") for m in d.messages)
    for intent in ("deny", "other_request", "out_of_scope"):
        assert counts[intent] / NUMBER > 2 * train[intent] / SIZES["train"]


def test_a_rare_wish_is_not_known_by_its_place(dialogues):
    """Once, what is beyond the shop opened the talks and what a colleague must do ended them: so a
    model told the two by their place."""
    for intent in ("out_of_scope", "other_request"):
        wishes = [
            [v for k, v in d.goal["slots"].items() if k.startswith("intent_")] for d in dialogues
        ]
        first = sum(
            d.goal["intent"] == intent and bool(w) for d, w in zip(dialogues, wishes, strict=True)
        )
        last = sum(bool(w) and w[-1] == intent for w in wishes)
        assert 1 / 3 < first / last < 3, intent  # 50 and 23 of 600, by luck in part


def test_a_language_gets_longer_and_loses_nothing(languages, further):
    trained, longer = languages[0], both(languages[0], Language({"customer": further}))
    assert longer.wordings["agent"] == trained.wordings["agent"]
    for name, wordings in trained.wordings["customer"].items():
        assert longer.wordings["customer"][name] == (*wordings, *further.get(name, ()))
