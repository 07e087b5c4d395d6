"""Replies: the text of `model.generate`, in batches and streamed, within the context."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from transformers import GenerationConfig

from course_lib import decoding
from course_lib.batching import PackedDialogues
from course_lib.chat_format import encode_all, prompt_ids
from course_lib.decoding import Rows, left_padded
from course_lib.generation import (
    Sampling,
    context_length,
    drawn,
    fitting_prompt,
    generate,
    generate_replies,
    stream,
    warpers,
)
from course_lib.models import prepare_for_chat
from course_lib.training import TrainConfig, train
from tests.kinds import KINDS
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


def reference(model, tokenizer, history, new_tokens: int, **settings) -> str:
    ids = torch.tensor([prompt_ids(history, tokenizer)])
    settings |= {"max_new_tokens": new_tokens, "do_sample": False}
    out = model.generate(ids, attention_mask=torch.ones_like(ids), **settings)[
        0, ids.shape[1] :
    ].tolist()
    if tokenizer.eos_token_id in out:
        out = out[: out.index(tokenizer.eos_token_id)]
    return tokenizer.decode(out)


def test_batched_replies_equal_generate(ready):
    model, tokenizer = ready
    expected = [reference(model, tokenizer, history, 24) for history in HISTORIES]
    assert generate(model, tokenizer, HISTORIES, 24) == expected
    assert generate(model, tokenizer, HISTORIES, 24, batch_size=2) == expected


def test_padding_on_the_right_is_noticed(ready, monkeypatch):
    """The mutant: short prompts end in padding, and what follows them follows padding."""

    def right_padded(prompts, pad_id):
        ids, mask = left_padded([prompt[::-1] for prompt in prompts], pad_id)
        return ids.flip(1), mask.flip(1)

    monkeypatch.setattr(decoding, "left_padded", right_padded)
    with pytest.raises(AssertionError):
        test_batched_replies_equal_generate(ready)


SETTINGS = {"do_sample": True, "temperature": 3.0, "top_k": 7, "repetition_penalty": 5.0}


@pytest.fixture
def opinionated(ready, monkeypatch):
    """The same model with settings of its own, as models from elsewhere bring them."""
    model, tokenizer = ready
    plain = generate(model, tokenizer, HISTORIES, 16)
    monkeypatch.setattr(model, "generation_config", deepcopy(model.generation_config))
    model.generation_config.update(**SETTINGS)
    return model, tokenizer, plain


def test_a_models_own_sampling_settings_are_not_taken(opinionated):
    model, tokenizer, plain = opinionated
    assert generate(model, tokenizer, HISTORIES, 16) == plain


def test_settings_that_are_taken_would_be_noticed(opinionated, monkeypatch):
    """The mutant: `model.generate` told to be greedy still takes the penalty from the model."""
    import tests.test_generation as here

    def theirs(model, tokenizer, histories, new_tokens):
        return [reference(model, tokenizer, history, new_tokens) for history in histories]

    monkeypatch.setattr(here, "generate", theirs)
    with pytest.raises(AssertionError):
        here.test_a_models_own_sampling_settings_are_not_taken(opinionated)


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


# ---- what a reply carries, and where it ends


def test_a_reply_says_whether_it_ended_by_itself(ready):
    model, tokenizer = ready
    whole = generate_replies(model, tokenizer, HISTORIES, 24)
    assert any(reply.stopped for reply in whole)
    for reply in whole:
        assert tokenizer.decode(reply.tokens) == reply.text
        assert tokenizer.eos_token_id not in reply.tokens
    for reply, short in zip(whole, generate_replies(model, tokenizer, HISTORIES, 2), strict=True):
        assert short.tokens == reply.tokens[:2]
        assert short.stopped == (reply.stopped and len(reply.tokens) < 2)


def test_no_history_no_reply(ready):
    assert generate(*ready, []) == []


def test_a_stop_text_ends_a_reply_before_it(ready):
    model, tokenizer = ready
    free = generate(model, tokenizer, HISTORIES, 24)
    which = next(i for i, text in enumerate(free) if " " in text.strip())
    cut = generate_replies(model, tokenizer, HISTORIES, 24, stop_texts=[" "])
    assert cut[which].text == free[which][: free[which].index(" ")]
    assert cut[which].stopped
    assert len(cut[which].tokens) < len(tokenizer(free[which])["input_ids"])


def test_a_stream_ends_when_it_is_told_to(ready):
    model, tokenizer = ready
    whole = list(stream(model, tokenizer, HISTORIES[1], 24))
    asked = []
    stop = lambda: asked.append(1) or len(asked) == 2  # noqa: E731
    pieces = list(stream(model, tokenizer, HISTORIES[1], 24, stop=stop))
    assert pieces == whole[:2]
    assert len(whole) > 2


def test_a_long_turn_keeps_what_stands_before_its_text(ready):
    _, tokenizer = ready
    endless = [{"role": "user", "content": "words and more words " * 100}]
    whole = prompt_ids(endless, tokenizer)
    ids = fitting_prompt(endless, tokenizer, 40)
    assert len(ids) == 40
    assert ids[:2] == whole[:2]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[:2]) == "<|endoftext|><|user|>"
    assert ids[2:] == whole[-38:]
    for limit in (1, 2, 3):
        assert len(fitting_prompt(endless, tokenizer, limit)) == limit
        assert fitting_prompt(endless, tokenizer, limit)[-1] == whole[-1]


# ---- drawing


def test_the_warpers_are_those_of_transformers_in_its_order():
    names = [type(w).__name__ for w in warpers(Sampling(0.7, 5, 0.9, 1.3))]
    config = GenerationConfig(
        do_sample=True, temperature=0.7, top_k=5, top_p=0.9, repetition_penalty=1.3
    )
    theirs = tiny_gpt2()._get_logits_processor(config, 1, None, None, device="cpu")
    assert names == [type(w).__name__ for w in theirs]
    seen, scores = torch.tensor([[3, 4, 4]]), torch.randn(1, 420)
    ours = warpers(Sampling(0.7, 5, 0.9, 1.3))(seen, scores.clone())
    assert torch.equal(ours, theirs(seen, scores.clone()))
    assert not list(warpers(Sampling()))


def test_a_repetition_penalty_under_greedy_gives_generates_text(ready):
    model, tokenizer = ready
    ours = generate(
        model, tokenizer, HISTORIES, 16, batch_size=3, sampling=Sampling(repetition_penalty=1.7)
    )
    for history, reply in zip(HISTORIES, ours, strict=True):
        assert reply == reference(model, tokenizer, history, 16, repetition_penalty=1.7)
    assert ours != generate(model, tokenizer, HISTORIES, 16)


def test_a_drawn_reply_depends_on_no_neighbour(ready):
    model, tokenizer = ready
    sampling = Sampling(temperature=1.5, top_k=50, seed=3)
    whole = generate(model, tokenizer, HISTORIES, 12, sampling=sampling)
    assert whole == generate(model, tokenizer, HISTORIES, 12, batch_size=2, sampling=sampling)
    assert whole[0] == "".join(stream(model, tokenizer, HISTORIES[0], 12, sampling))
    again = generate(model, tokenizer, HISTORIES[:1] * 4, 12, sampling=sampling)
    assert len(set(again)) > 1  # the same history is drawn for anew


def test_draws_follow_the_probabilities_and_never_what_has_none():
    chances = torch.tensor([[0.0, 0.5, 0.0, 0.25, 0.25, 0.0]])
    draws = torch.linspace(0, 1, 1001)[:-1]
    tokens = drawn(chances.expand(1000, 6), draws)
    counts = tokens.bincount(minlength=6).tolist()
    assert counts == pytest.approx([0, 500, 0, 250, 250, 0], abs=2)
    assert counts[0] == counts[2] == counts[5] == 0
    edge = drawn(chances, torch.tensor([1.0]))
    assert edge.item() == 4


def test_top_k_of_one_is_greedy(ready):
    model, tokenizer = ready
    sampling = Sampling(temperature=2.0, top_k=1)
    assert generate(model, tokenizer, HISTORIES, 12, sampling=sampling) == generate(
        model, tokenizer, HISTORIES, 12
    )


# ---- models that are not ours


def grouped_llama():
    """Random weights, two query heads for each key head, another width of heads than ours."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=420,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    return LlamaForCausalLM(config).eval()


def sliding_mistral():
    """Its cache forgets what lies outside its window, so nobody can join a batch under way."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(1)
    config = MistralConfig(
        vocab_size=420,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        sliding_window=8,
    )
    return MistralForCausalLM(config).eval()


MIXED = [
    [{"role": "user", "content": " ".join(f"word {i}" for i in range(n))}]
    for n in (9, 1, 6, 2, 7, 1, 4, 9, 3, 5)
]


def sharpened(model):
    """Random weights so large that no two tokens nearly tie: rounding decides nothing."""
    torch.manual_seed(0)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(0, 0.5)
    return model


@pytest.mark.parametrize(
    ("make", "kind"), [(grouped_llama, "ours"), (sliding_mistral, "qwen"), (tiny_gpt2, "llama2")]
)
def test_random_models_of_other_makes_say_what_generate_says(make, kind):
    model, tokenizer = prepare_for_chat(make(), KINDS[kind]())
    sharpened(model)
    expected = [reference(model, tokenizer, history, 16) for history in MIXED]
    assert generate(model, tokenizer, MIXED, 16, batch_size=4) == expected
    assert "".join(stream(model, tokenizer, MIXED[3], 16)) == expected[3]
    assert len(set(expected)) > 3


def _forgets_order(rows, order):
    rows.starts = rows.starts.sort().values


def _forgets_padding(rows, order):
    rows.starts = rows.starts * 0


@pytest.mark.parametrize("mutant", [_forgets_order, _forgets_padding])
def test_rows_that_begin_elsewhere_would_be_noticed(ready, mutant, monkeypatch):
    model, tokenizer = ready
    expected = generate_replies(model, tokenizer, MIXED + HISTORIES, 16, batch_size=4)
    alone = [generate_replies(model, tokenizer, [h], 16)[0] for h in MIXED + HISTORIES]
    assert [reply.tokens for reply in alone] == [reply.tokens for reply in expected]
    whole = Rows.keep

    def keep(self, alive):
        order = whole(self, alive)
        mutant(self, order)
        return order

    monkeypatch.setattr(Rows, "keep", keep)
    found = generate_replies(model, tokenizer, MIXED + HISTORIES, 16, batch_size=4)
    assert [reply.tokens for reply in found] != [reply.tokens for reply in expected]
