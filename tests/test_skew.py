"""Prompts by other code: the reply stays the same, only what stands before it differs."""

from __future__ import annotations

import pytest

from course_lib.chat_format import encode, prompt_ids
from course_lib.dialogue import Dialogue, DialogueError, Message
from course_lib.metrics import held_out_loss
from course_lib.models import prepare_for_chat
from course_lib.skew import (
    PROMPTS,
    behind_prompts,
    per_token,
    reply_losses,
    skewed_prompt,
    that_begins_itself,
)
from tests.tiny import bpe_tokenizer, tiny_gpt2


def test_as_trained_is_the_courses_own_rendering(three_dialogues, tokenizer):
    for dialogue in three_dialogues:
        (row,) = behind_prompts([dialogue], tokenizer, "as trained")
        assert row.ids == encode(dialogue, tokenizer).ids
        start = row.mask.index(True)
        assert row.ids[:start] == prompt_ids(dialogue.to_messages()[:-1], tokenizer)
        assert all(row.mask[start:])


@pytest.mark.parametrize("name", [name for name in PROMPTS if name != "as trained"])
def test_every_other_prompt_differs_and_keeps_the_reply(name, three_dialogues, tokenizer):
    right = behind_prompts(three_dialogues, tokenizer, "as trained")
    other = behind_prompts(three_dialogues, tokenizer, name)
    for a, b in zip(right, other, strict=True):
        assert a.ids != b.ids
        assert a.trained_ids == b.trained_ids


def test_two_beginnings_are_two(three_dialogues, tokenizer):
    ids = skewed_prompt(three_dialogues[2].messages[:1], tokenizer, "two beginnings")
    assert ids.count(tokenizer.bos_token_id) == 2


def test_a_tokenizer_that_begins_itself_begins_a_rendered_text_twice(three_dialogues, tokenizer):
    eager = that_begins_itself(tokenizer)
    text = eager.apply_chat_template(three_dialogues[0].to_messages(), tokenize=False)
    assert eager(text)["input_ids"].count(eager.bos_token_id) == 2
    assert encode(three_dialogues[0], eager) == encode(three_dialogues[0], tokenizer)
    assert tokenizer("Hi")["input_ids"] == eager("Hi")["input_ids"][1:]


def test_a_dialogue_without_a_reply_is_named(tokenizer):
    with pytest.raises(DialogueError, match="'d9'.*no reply"):
        behind_prompts([Dialogue("d9", [Message("user", "Hi")])], tokenizer, "as trained")


def test_the_losses_of_replies_add_up_to_the_held_out_loss(three_dialogues):
    model, tokenizer = prepare_for_chat(tiny_gpt2(), bpe_tokenizer())
    rows = behind_prompts(three_dialogues, tokenizer, "as trained")
    sums = reply_losses(model, rows, tokenizer.pad_token_id, rows_per_batch=2)
    assert sums[:, 1].tolist() == [sum(row.mask) for row in rows]
    whole = held_out_loss(model, rows, tokenizer.pad_token_id)["eval_loss"]
    assert per_token(sums.sum(0)) == pytest.approx(whole, rel=1e-5)
