"""The comparison of forms: the same replies, the same held-out tokens, both kinds write."""

from __future__ import annotations

import pytest

from course_lib.chat_format import encode_all
from course_lib.forms import compare_forms
from course_lib.losses import count_trained
from course_lib.seq2seq import reply_pairs, seq2seq_batch
from course_lib.toy import three_dialogues
from course_lib.transfer import new_model


@pytest.mark.slow
def test_three_forms_are_trained_and_write():
    _, tokenizer = new_model("random")
    toys = encode_all(three_dialogues(), tokenizer)
    told = []
    forms = compare_forms(toys, toys, tokenizer, steps=3, on_form=told.append)
    assert [form.name for form in forms] == ["encoder–decoder", "decoder only", "base model"]
    assert told == forms
    per_epoch = count_trained(seq2seq_batch(reply_pairs(toys), 0, 1))
    for form in forms:
        assert form.trained_tokens == 3 * per_epoch  # a step is an epoch of so small a set
        assert 0 < form.loss < 9
        replies = form.replies([[{"role": "user", "content": "Thank you!"}]], 4)
        assert len(replies) == 1 and "<|" not in replies[0]
    assert forms[2].loss < forms[1].loss
