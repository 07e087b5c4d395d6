"""Pictures of tokens: pieces lose nothing, and roles, control tokens and the mask show."""

from __future__ import annotations

import pytest

from course_lib.chat_format import encode, prepare_tokenizer
from course_lib.pictures.tokens import cut_strip, cut_table, pieces_of, role_strip
from tests.kinds import KINDS
from tests.tiny import toy_dialogues

TEXTS = ["The kettle, 39 euros.", "  two  spaces\n", "é 😀 مرحبا 你好", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text(text):
    tokenizer = KINDS["ours"]()
    pieces = pieces_of(text, tokenizer)
    assert "".join(pieces) == text
    assert len(pieces) == len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_a_character_of_several_tokens_stands_at_the_last_one():
    tokenizer = KINDS["gpt2"]()
    pieces = pieces_of("😀", tokenizer)
    assert len(pieces) > 1 and pieces[-1] == "😀" and set(pieces[:-1]) == {""}


def test_cuts_are_marked_and_spaces_seen():
    view = cut_strip([" kettle", "s"])
    assert repr(view) == "·kettle|s"
    assert view.page.count("<code") == 2 and "·kettle" in view.page


def test_a_table_counts_the_tokens_of_each_text():
    tokenizer = KINDS["ours"]()
    words = repr(cut_table({"one": (" kettle", tokenizer), "two": ("Hi\n", tokenizer)}))
    assert words.startswith(": one\ntokens: 1\ncut: ·kettle") and ": two" in words


def test_roles_control_tokens_and_mask_show():
    tokenizer = KINDS["gpt2"]()
    prepare_tokenizer(tokenizer)
    view = role_strip(encode(toy_dialogues()[2], tokenizer), tokenizer)
    words = repr(view)
    assert words.startswith("‹<|endoftext|>›‹<|user|>›T")
    assert "‹<|end|>›‹<|assistant|>›" in words and words.endswith("‹<|end|>›_")
    trained = words.split("‹<|assistant|>›")[1]
    assert trained.replace("_", "") == "You are welcome.‹<|end|>›"
    untrained = words.split("‹<|assistant|>›")[0]
    assert "_" not in untrained
    assert view.page.count("border-bottom") == trained.count("_") + 1  # and the legend


def test_typed_html_is_text():
    assert "<b>" not in cut_strip(["<b>"]).page
