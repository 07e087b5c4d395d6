"""The loop from corrections to a better model, on a tiny one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from course_lib.chat_format import encode, known_tokens
from course_lib.dialogue import Dialogue, Entity, Message
from course_lib.feedback import FeedbackLog, judged, read_feedback
from course_lib.feedback_loop import (
    TOUCH_UP,
    answers,
    learn_corrections,
    simulated_corrections,
    with_replay,
)
from course_lib.metrics import fact_questions, held_out_loss
from course_lib.models import prepare_for_chat
from course_lib.training import TrainConfig
from tests.tiny import bpe_tokenizer, tiny_gpt2, toy_dialogues


def fact(number: int, value: str) -> Dialogue:
    text = f"It is {value}."
    span = Entity("warranty", 6, 6 + len(value), value, value)
    return Dialogue(
        f"f{number}",
        [
            Message("user", f"How long is the warranty, number {number}?"),
            Message("assistant", text, entities=[span], acts=[["inform", "warranty"]]),
        ],
    )


@pytest.fixture(scope="module")
def chat_model():
    return prepare_for_chat(tiny_gpt2(400), bpe_tokenizer())


FACTS = [fact(n, value) for n, value in enumerate(["two years", "one year", "six months"])]


def test_the_simulated_reviewer_corrects_what_is_wrong(chat_model, tmp_path):
    log = FeedbackLog(tmp_path / "a.jsonl")
    wrong = simulated_corrections(*chat_model, FACTS, log, most=2)
    assert [q.dialogue_id for q in wrong] == ["f0", "f1"]  # a random model knows nothing
    corrected = read_feedback(log.path).corrected
    assert [d.messages[-1].content for d in corrected] == ["It is two years.", "It is one year."]


def test_of_dialogues_that_begin_alike_one_is_corrected(chat_model, tmp_path):
    """Of one history only one correction counts, so a second one would be a count without a row."""
    log = FeedbackLog(tmp_path / "a.jsonl")
    wrong = simulated_corrections(*chat_model, [FACTS[0], replace(FACTS[0], id="again")], log)
    assert [question.dialogue_id for question in wrong] == ["f0"]


def test_a_right_answer_is_not_corrected(monkeypatch, chat_model, tmp_path):
    from course_lib import feedback_loop

    said = [d.messages[-1].content for d in FACTS]
    monkeypatch.setattr(feedback_loop, "generate", lambda *_: said)
    log = FeedbackLog(tmp_path / "a.jsonl")
    assert simulated_corrections(*chat_model, FACTS, log) == []
    assert not log.path.exists()
    found = answers(*chat_model, fact_questions(FACTS))
    assert found.share == 1 and found.dialogues == ["f0", "f1", "f2"]


def test_corrections_are_repeated_among_replayed_dialogues():
    corrections, others = FACTS[:2], toy_dialogues()
    mixed = with_replay(corrections, others, times=3, replay=2, seed=1)
    assert sorted(d.id for d in mixed)[-6:] == ["f0-0", "f0-1", "f0-2", "f1-0", "f1-1", "f1-2"]
    assert len(mixed) == 8 and {d.id for d in mixed} & {d.id for d in others}
    assert mixed == with_replay(corrections, others, times=3, replay=2, seed=1)
    assert mixed != with_replay(corrections, others, times=3, replay=2, seed=2)


def test_too_little_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="nothing to learn"):
        with_replay([], toy_dialogues())
    with pytest.raises(ValueError, match="there are 3"):
        with_replay(FACTS, toy_dialogues(), replay=4)


def test_learning_lowers_the_loss_of_the_corrections_and_spares_known_embeddings(chat_model):
    model, tokenizer = chat_model
    talks = [
        [{"role": "user", "content": "Warranty?"}, {"role": "assistant", "content": text}]
        for text in ("Two years.", "One year.")
    ]
    corrections = [judged(f"c{n}", talk, "corrected") for n, talk in enumerate(talks)]
    rows = [encode(d, tokenizer) for d in corrections]
    before = held_out_loss(model, rows, tokenizer.pad_token_id)["eval_loss"]
    embeddings = model.get_input_embeddings().weight.detach().clone()
    config = TrainConfig(max_steps=30, learning_rate=3e-3, precision="fp32")
    learn_corrections(model, tokenizer, corrections, toy_dialogues(), config, replay=2)
    after = held_out_loss(model, rows, tokenizer.pad_token_id)["eval_loss"]
    assert after < before - 0.5
    now = model.get_input_embeddings().weight
    known = known_tokens(tokenizer)
    assert torch.equal(now[:known], embeddings[:known])
    assert not torch.equal(now[known:], embeddings[known:])


def test_the_touch_up_is_gentler_than_the_recipe():
    from course_lib.journey import RECIPE

    assert TOUCH_UP.learning_rate < RECIPE.learning_rate
