"""Spans to tags and back: exact on the shop and on hard texts, and what cannot be is reported."""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace

import pytest

pytest.importorskip("transformers")

from course_lib.annotation.spans import align, from_bio, round_trip, tag_names, to_bio, tokens_of
from course_lib.dialogue import Dialogue, Entity, Message, read_dialogues
from course_lib.models import load_tokenizer
from tests.tiny import ROOT


@pytest.fixture(scope="module")
def ours():
    return load_tokenizer(ROOT / "data" / "base_model")


def word_pieces():
    """A lower-casing WordPiece tokenizer in BERT's manner, which has no space in its tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = ["how long is the cord of the brisa kettle", "café crème costs 12 euros, thanks"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=120, special_tokens=["[UNK]", "[CLS]"], show_progress=False
    )
    pieces.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="[UNK]", cls_token="[CLS]")


def meta_spaces():
    """A SentencePiece-like tokenizer, which puts the space before a word into its token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    texts = ["How long is the cord of the Brisa kettle?", "It costs 12 euros. Café crème!"] * 3
    trainer = trainers.UnigramTrainer(
        vocab_size=80, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    unigram.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=unigram, unk_token="<unk>")


def spans_of(text: str, *wanted: tuple[str, str]) -> list[Entity]:
    """Entities of (slot, part of the text), each at the first place after the one before."""
    found, at = [], 0
    for slot, part in wanted:
        start = text.index(part, at)
        at = start + len(part)
        found.append(Entity(slot, start, at, part, part))
    return found


FAMILY = "👩\u200d👩\u200d👧"
HARD = [
    (
        "Is the Brisa kettle 😀 blue?",
        [("product", "Brisa kettle"), ("m", "😀"), ("colour", "blue")],
    ),
    (f"😀😀{FAMILY} Café, Zoë!", [("m", "😀"), ("m", "😀"), ("f", FAMILY), ("drink", "Café")]),
    ("12\u202f345 €, 5\u00a0kg – done", [("price", "12\u202f345 €"), ("weight", "5\u00a0kg")]),
    ("Brisa kettle", [("product", "Brisa kettle")]),
    ("the  Brisa   kettle , please", [("product", "Brisa   kettle")]),
    ("\n\tBrisa\nkettle\n", [("product", "Brisa\nkettle")]),
    ("red, green", [("colour", "red"), ("colour", "green")]),
    ("one two", [("number", "one"), ("number", "two")]),
    ("cafe\u0301 or e\u0301tude", [("drink", "cafe\u0301")]),
    ("Straße İstanbul ﬁne 你好 世界", [("address", "Straße İstanbul"), ("greeting", "你好")]),
    ("type <|end|> to stop", [("word", "stop")]),
    ("(Brisa)kettle:99", [("name", "Brisa"), ("price", "99")]),
]


@pytest.mark.parametrize(("text", "wanted"), HARD, ids=range(len(HARD)))
def test_hard_texts_come_back_exactly(ours, tokenizer, text, wanted):
    spans = spans_of(text, *wanted)
    for each in (ours, tokenizer):
        tagged = align(text, spans, each)
        assert tagged.lost == []
        assert tagged.entities == spans
        assert len(tagged.ids) == len(tagged.ranges) == len(tagged.tags)


@pytest.mark.parametrize("make", [word_pieces, meta_spaces])
@pytest.mark.parametrize(("text", "wanted"), HARD[:1] + HARD[3:5] + HARD[6:8])
def test_other_kinds_of_tokenizers_serve_too(make, text, wanted):
    spans = spans_of(text, *wanted)
    tagged = align(text, spans, make())
    found = {(e.slot, e.start, e.end) for e in tagged.entities}
    lost = {(lost.entity.slot, lost.entity.start, lost.entity.end) for lost in tagged.lost}
    assert found | lost == {(e.slot, e.start, e.end) for e in spans} and not found & lost
    assert ("product", *_place(text, "Brisa")) not in lost


def _place(text: str, word: str) -> tuple[int, int]:
    start = text.find(word)
    return start, start + len(word)


def test_the_shop_comes_back_exactly(ours):
    dialogues = [
        *islice(read_dialogues(ROOT / "data" / "shop" / "dev.jsonl"), 120),
        *islice(read_dialogues(ROOT / "data" / "shop" / "test_phrasing.jsonl"), 120),
    ]
    report = round_trip(dialogues, ours)
    assert report.spans > 1000
    assert (report.exact, report.lost) == (report.spans, [])


def test_the_space_before_a_word_is_no_part_of_its_span(ours):
    text = "the Brisa kettle"
    tagged = align(text, spans_of(text, ("product", "Brisa kettle")), ours)
    assert all(not text[a:b].startswith(" ") for a, b in tagged.ranges)
    assert tagged.entities[0].start == 4
    offsets = ours(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    assert any(text[a:b].startswith(" ") for a, b in offsets)  # so trimming has work to do


def test_one_emoji_in_several_tokens_is_one_span(ours):
    tagged = align("👩", spans_of("👩", ("who", "👩")), ours)
    assert len(tagged.ids) > 1
    assert tagged.tags == ["B-who"] + ["I-who"] * (len(tagged.ids) - 1)


# ---- what cannot be aligned is reported

RANGES = [(0, 3), (4, 9), (10, 16)]


@pytest.mark.parametrize(
    ("entity", "reason"),
    [
        (Entity("x", 4, 8, "Bris", ""), "a border lies inside a token"),
        (Entity("x", 3, 9, " Brisa", ""), "or at a space"),
        (Entity("x", 3, 4, " ", ""), "no token lies in it"),
    ],
)
def test_a_border_inside_a_token_is_reported(entity, reason):
    tags, lost = to_bio([entity], RANGES)
    assert tags == ["O"] * 3
    assert [found.entity for found in lost] == [entity] and reason in str(lost[0])


def test_of_two_overlapping_spans_the_second_is_reported():
    whole, part = Entity("a", 4, 16, "Brisa kettle", ""), Entity("b", 10, 16, "kettle", "")
    tags, lost = to_bio([part, whole], RANGES)
    assert tags == ["O", "B-a", "I-a"]
    assert lost[0].entity is part and "overlaps" in lost[0].reason


def test_the_report_names_dialogue_and_message(ours):
    bad = Entity("part", 1, 3, "it", "it")
    dialogue = Dialogue("d7", [Message("user", "Hi."), Message("user", "kitten", entities=[bad])])
    dialogue.messages[1].entities = [Entity("part", 1, 5, "itte", "itte")]
    report = round_trip([dialogue], ours)
    assert (report.spans, report.exact) == (1, 0)
    assert str(report.lost[0]).startswith("dialogue 'd7', message 1: part 1:5 'itte'")


def test_a_slow_tokenizer_is_refused():
    with pytest.raises(TypeError, match="fast tokenizer"):
        tokens_of(["Hello"], SimpleNamespace(is_fast=False))


# ---- what a model may say


def spans_from(*tags: str) -> list[tuple[str, int, int]]:
    return [(e.slot, e.start, e.end) for e in from_bio(tags, RANGES, "the Brisa kettle")]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (("O", "B-a", "I-a"), [("a", 4, 16)]),
        (("O", "B-a", "B-a"), [("a", 4, 9), ("a", 10, 16)]),
        (("O", "I-a", "I-a"), [("a", 4, 16)]),
        (("O", "B-a", "I-b"), [("a", 4, 9), ("b", 10, 16)]),
        (("I-a", "O", "I-a"), [("a", 0, 3), ("a", 10, 16)]),
        (("O", "O", "O"), []),
    ],
)
def test_tags_that_are_not_well_formed_have_a_meaning(tags, spans):
    assert spans_from(*tags) == spans


def test_two_tags_on_the_halves_of_one_emoji_are_one_span():
    assert [e.text for e in from_bio(["B-a", "B-b"], [(0, 1), (0, 1)], "😀")] == ["😀"]


def test_a_tag_on_white_space_moves_no_border():
    ranges = [(0, 3), (4, 4), (5, 8)]
    found = from_bio(["B-a", "I-a", "I-a"], ranges, "one  two")
    assert [(e.start, e.end) for e in found] == [(0, 8)]
    assert [(e.start, e.end) for e in from_bio(["O", "B-a", "I-a"], ranges, "one  two")] == [(5, 8)]
    assert [(e.start, e.end) for e in from_bio(["B-a", "I-a", "O"], ranges, "one  two")] == [(0, 3)]
    assert from_bio(["O", "B-a", "O"], ranges, "one  two") == []


def test_the_tags_of_a_tagger():
    assert tag_names(["a", "b"]) == ["O", "B-a", "I-a", "B-b", "I-b"]
