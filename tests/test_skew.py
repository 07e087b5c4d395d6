"""Prompts by other code: the reply stays the same, only what stands before it differs."""

from __future__ import annotations

import pytest

from course_lib.chat_format import encode, prompt_ids
from course_lib.dialogue import Dialogue, DialogueError, Message
from course_lib.skew import PROMPTS, behind_prompts, skewed_prompt


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


def test_a_dialogue_without_a_reply_is_named(tokenizer):
    with pytest.raises(DialogueError, match="'d9'.*no reply"):
        behind_prompts([Dialogue("d9", [Message("user", "Hi")])], tokenizer, "as trained")
