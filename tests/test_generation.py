"""Replies: the text of `model.generate`, in batches and streamed, within the context."""

from __future__ import annotations

import pytest
import torch

from course_lib.batching import PackedDialogues
from course_lib.chat_format import encode_all, prompt_ids
from course_lib.generation import Sampling, context_length, fitting_prompt, generate, stream
from course_lib.models import prepare_for_chat
from course_lib.training import TrainConfig, train
from tests.tiny import bpe_tokenizer, tiny_gpt2, tiny_llama, toy_dialogues


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def ready(request):
    """A tiny model that learned three dialogues by heart: its replies end, each elsewhere."""
    tiny = tiny_gpt2() if request.param == "gpt2" else tiny_llama()
    model, tokenizer = prepare_for_chat(tiny, bpe_tokenizer())
    encoded = encode_all(toy_dialogues() * 8, tokenizer)
    data = PackedDialogues(encoded, tokenizer.pad_token_id, 128, rows_per_batch=4)
    config = TrainConfig(max_steps=60, learning_rate=1e-2, warmup_steps=5, precision="fp32")
    train(model, data, config)
    return model, tokenizer


HISTORIES = [
    [{"role": "user", "content": text}]
    for text in ("Hi", "How long is the warranty on it?", "ok", "My order number is 12", "é 😀", "")
] + [
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello, how can I help?"},
        {"role": "user", "content": "What is the price?"},
    ]
]
HISTORIES = [h for h in HISTORIES if h[0]["content"]]


def reference(model, tokenizer, history, new_tokens: int) -> str:
    ids = torch.tensor([prompt_ids(history, tokenizer)])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False
    )[0, ids.shape[1] :].tolist()
    if tokenizer.eos_token_id in out:
        out = out[: out.index(tokenizer.eos_token_id)]
    return tokenizer.decode(out)


def test_batched_replies_equal_generate(ready):
    model, tokenizer = ready
    expected = [reference(model, tokenizer, history, 24) for history in HISTORIES]
    assert generate(model, tokenizer, HISTORIES, 24) == expected
    assert generate(model, tokenizer, HISTORIES, 24, batch_size=2) == expected


def test_rows_that_end_leave_the_batch(ready):
    """The end token is forced at another step for each row; the others go on as before."""
    model, tokenizer = ready
    free = generate(model, tokenizer, HISTORIES, 20)
    for history, reply in zip(HISTORIES, free, strict=True):
        alone = generate(model, tokenizer, [history], 20)
        assert alone == [reply]
    assert len({len(reply) for reply in free}) > 1


def test_streamed_pieces_join_to_the_reply(ready):
    model, tokenizer = ready
    for history in HISTORIES:
        pieces = list(stream(model, tokenizer, history, 24))
        assert "".join(pieces) == reference(model, tokenizer, history, 24)


def test_streaming_never_shows_half_a_character(ready):
    model, tokenizer = ready
    wanted = tokenizer("😀é", add_special_tokens=False)["input_ids"]

    class Says(torch.nn.Module):
        """A model that says the given tokens one by one."""

        config, device = model.config, model.device

        def __init__(self):
            super().__init__()
            self.left = [*wanted, tokenizer.eos_token_id]

        def forward(self, **inputs):
            logits = torch.zeros(1, 1, len(tokenizer))
            logits[0, 0, self.left.pop(0)] = 1.0
            return type("Output", (), {"logits": logits, "past_key_values": None})

    assert list(stream(Says(), tokenizer, HISTORIES[0], 16)) == ["😀", "é"]


def test_sampling_is_seeded_and_varies(ready):
    model, tokenizer = ready
    say = lambda seed: "".join(  # noqa: E731
        stream(model, tokenizer, HISTORIES[0], 16, Sampling(temperature=1.5, top_p=0.99, seed=seed))
    )
    assert say(1) == say(1)
    assert len({say(seed) for seed in range(5)}) > 1


def test_a_tiny_top_p_is_greedy(ready):
    model, tokenizer = ready
    sampled = stream(model, tokenizer, HISTORIES[0], 16, Sampling(temperature=0.7, top_p=1e-9))
    assert "".join(sampled) == reference(model, tokenizer, HISTORIES[0], 16)


def test_bad_sampling_is_refused():
    for wrong in ({"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}):
        with pytest.raises(ValueError, match="temperature must be at least 0"):
            Sampling(**wrong)


def test_a_long_history_loses_its_oldest_turns_first(ready):
    _, tokenizer = ready
    long = [
        {"role": role, "content": f"turn {i} with some words in it"}
        for i in range(12)
        for role in ("user", "assistant")
    ][:-1]
    ids = fitting_prompt(long, tokenizer, 100)
    text = tokenizer.decode(ids)
    assert len(ids) <= 100
    assert "turn 11" in text
    assert "turn 0 " not in text
    assert text.startswith("<|endoftext|><|")


def test_generation_stays_within_the_context(ready):
    model, tokenizer = ready
    endless = [{"role": "user", "content": "words and more words " * 400}]
    limit = context_length(model)
    assert len(fitting_prompt(endless, tokenizer, limit - 8)) == limit - 8
    assert isinstance(generate(model, tokenizer, [endless], 8)[0], str)
    with pytest.raises(ValueError, match="leaves no room"):
        generate(model, tokenizer, [endless], limit)


def test_progress_counts_every_reply(ready):
    model, tokenizer = ready
    done = []
    generate(model, tokenizer, HISTORIES, 2, batch_size=4, on_batch=done.append)
    assert sum(done) == len(HISTORIES)
