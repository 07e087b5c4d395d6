"""Fine-tuned classifiers: the right vector, padding, one training function, seeds, devices."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from course_lib.annotation.classifier import (
    IntentClassifier,
    Tagger,
    _batches,
    fit,
    small_encoder,
)
from course_lib.annotation.spans import align
from course_lib.dialogue import Entity
from tests.tiny import tiny_gpt2

TURNS = [("Thank you!", "thanks"), ("My order, please.", "order"), ("Hello!", "hello")]
LABELS = ["hello", "order", "thanks"]


def spans(text: str, slot: str, part: str) -> tuple[str, list[Entity]]:
    start = text.index(part)
    return text, [Entity(slot, start, start + len(part), part, part)]


NAMED = [
    spans("How long is the warranty on the Brisa kettle?", "product", "Brisa kettle"),
    spans("My order number is 1234567890.", "order_number", "1234567890"),
    ("Thank you!", []),
]


def body(tokenizer, causal: bool):
    from types import SimpleNamespace

    if causal:
        return tiny_gpt2().base_model
    like = SimpleNamespace(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=128
    )
    return small_encoder(tokenizer, like)


def classifier(tokenizer, causal=True, seed=0, **options):
    return IntentClassifier(body(tokenizer, causal), tokenizer, LABELS, causal, seed, **options)


@pytest.mark.parametrize("causal", [True, False])
def test_padding_does_not_matter(tokenizer, causal):
    model = classifier(tokenizer, causal).eval()
    alone = model(["Thank you!"])[0].tolist()
    beside = model(["Thank you!", "My order number is 1234567890."])[0].tolist()
    assert alone == pytest.approx(beside, abs=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_the_whole_text_is_read(tokenizer, causal):
    model = classifier(tokenizer, causal).eval()
    first, last = model(["Hello! My order", "My Hello! order"]), model(["Hello! My", "My Hello!"])
    assert not torch.allclose(first[0], first[1], atol=1e-6)
    assert not torch.allclose(first, last, atol=1e-6)


def test_a_decoders_first_token_would_know_nothing(tokenizer):
    model = IntentClassifier(tiny_gpt2().base_model, tokenizer, LABELS, causal=False).eval()
    one, other = model(["Hello!", "My order, please."])
    assert torch.allclose(one, other, atol=1e-6)  # which is why causal bodies are read at the end


def test_it_is_gpt2s_classifier_with_the_same_weights(tokenizer):
    from transformers import GPT2ForSequenceClassification

    model = classifier(tokenizer).eval()
    config = tiny_gpt2().config
    config.num_labels, config.pad_token_id = len(LABELS), tokenizer.pad_token_id
    theirs = GPT2ForSequenceClassification(config).eval()
    theirs.transformer.load_state_dict(model.body.state_dict())
    with torch.no_grad():
        theirs.score.weight.copy_(model.head.weight)
        texts = ["Thank you!", "My order number is 1234567890."]
        rows = [f"{tokenizer.bos_token}{text}" for text in texts]
        tokenizer.padding_side = "right"
        batch = tokenizer(rows, add_special_tokens=False, padding=True, return_tensors="pt")
        expected = theirs(**{k: batch[k] for k in ("input_ids", "attention_mask")}).logits
        assert torch.allclose(model(texts) - model.head.bias, expected, atol=1e-5)


def test_an_empty_text_has_an_answer(tokenizer):
    assert classifier(tokenizer).predict(["", "Hello!"])[0] in LABELS


def test_long_texts_are_read_from_their_beginning(tokenizer):
    model = classifier(tokenizer, longest=8).eval()
    start = "My order number is 1234567890 and more"
    assert torch.equal(model([start]), model([start + " Hello!" * 500]))
    long = classifier(tokenizer, longest=9999)
    assert long.longest == 128  # no more than the body has positions
    long.predict(["Hello! " * 500])


@pytest.mark.parametrize("causal", [True, False])
def test_one_function_trains_both_and_is_seeded(tokenizer, causal):
    def fitted(seed):
        records = []
        model = fit(
            classifier(tokenizer, causal, seed),
            TURNS,
            steps=40,
            rows=3,
            learning_rate=5e-3,
            seed=seed,
            on_record=records.append,
        )
        return model, records

    texts = [text for text, _ in TURNS]
    model, records = fitted(0)
    losses = [record["loss"] for record in records]
    assert model.predict(texts) == [intent for _, intent in TURNS]
    assert losses[-1] < 0.3 * losses[0]
    assert [record["step"] for record in records] == list(range(1, 41))
    rates = [record["lr"] for record in records]
    assert max(rates) == rates[4] == 5e-3 and rates[0] < rates[4] > rates[-1] > 0
    assert all(record["grad_norm"] > 0 for record in records)
    assert (model.predict_proba(texts) == fitted(0)[0].predict_proba(texts)).all()
    assert (model.predict_proba(texts) != fitted(1)[0].predict_proba(texts)).any()
    assert not model.training


def test_every_text_comes_once_an_epoch_beside_texts_of_like_length():
    pairs = [("x" * (n % 50), n) for n in range(400)]
    batches = _batches(pairs, 10, seed=0)
    epochs = [[next(batches) for _ in range(40)] for _ in range(2)]
    for epoch in epochs:
        assert sorted(label for batch in epoch for _, label in batch) == list(range(400))
    assert epochs[0] != epochs[1]
    padded = sum(10 * max(len(text) for text, _ in batch) for batch in epochs[0])
    assert padded < 0.75 * 400 * 48  # alone, nearly every batch has a text of 48
    spread = [max(n for _, n in batch) - min(n for _, n in batch) for batch in epochs[0]]
    assert min(spread) > 50  # and yet they are mixed


def test_training_leaves_the_random_state_as_it_was(tokenizer):
    model = classifier(tokenizer)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit(model, TURNS, steps=2, rows=2)
    assert torch.equal(torch.rand(1), expected)


def test_probabilities_come_in_the_order_of_the_texts(tokenizer):
    model = classifier(tokenizer)
    texts = ["My order number is 1234567890.", "", "Thank you!"] * 30
    found = model.predict_proba(texts)
    assert found.shape == (90, 3) and found.sum(1) == pytest.approx(1)
    assert found[:3] == pytest.approx(model.predict_proba(texts[:3]), abs=1e-5)
    assert found[1] == pytest.approx(model.predict_proba([""])[0], abs=1e-5)
    assert model.classes_.tolist() == LABELS


def test_nothing_to_learn_from_and_labels_named_twice_are_refused(tokenizer):
    with pytest.raises(ValueError, match="no examples"):
        fit(classifier(tokenizer), [])
    with pytest.raises(ValueError, match="name each once"):
        IntentClassifier(tiny_gpt2().base_model, tokenizer, ["a", "a"], True)


def test_a_loss_that_is_no_number_stops_the_training(tokenizer):
    model = classifier(tokenizer)
    torch.nn.init.constant_(model.head.weight, float("nan"))
    with pytest.raises(RuntimeError, match="step 1: the loss is nan"):
        fit(model, TURNS, steps=2, rows=2)


def test_a_tokenizer_without_a_start_is_refused(tokenizer):
    tokenizer.bos_token = tokenizer.eos_token = None
    with pytest.raises(ValueError, match="neither BOS nor CLS nor EOS"):
        classifier(tokenizer)


def test_the_encoder_looks_both_ways_and_is_seeded(tokenizer):
    model, same = body(tokenizer, causal=False), body(tokenizer, causal=False)
    ids, other = torch.tensor([[5, 6, 7]]), torch.tensor([[5, 6, 8]])
    with torch.no_grad():
        first = model(input_ids=ids).last_hidden_state[0, 0]
        assert not torch.allclose(first, model(input_ids=other).last_hidden_state[0, 0])
        assert torch.equal(first, same(input_ids=ids).last_hidden_state[0, 0])
    assert small_encoder(tokenizer).config.hidden_size == 192


# ---- spans


@pytest.mark.parametrize("causal", [True, False])
def test_a_tagger_learns_spans(tokenizer, causal):
    model = Tagger(body(tokenizer, causal), tokenizer, ["order_number", "product"])
    fit(model, NAMED, steps=60, rows=3, learning_rate=5e-3)
    found = model.predict([text for text, _ in NAMED])
    gold = [[(e.slot, e.start, e.end) for e in entities] for _, entities in NAMED]
    assert [[(e.slot, e.start, e.end) for e in entities] for entities in found] == gold


def test_a_tag_stands_at_its_own_token(tokenizer):
    """The loss is least where the head gives each token's own tag, one place behind the start."""
    model = Tagger(tiny_gpt2().base_model, tokenizer, ["product"])
    text, entities = NAMED[0]
    tags = [model.number[tag] for tag in align(text, entities, tokenizer).tags]

    class Says(torch.nn.Module):
        def forward(self, hidden):
            logits = torch.zeros(*hidden.shape[:2], len(model.labels))
            for place, tag in enumerate(tags):
                logits[0, place + 1, tag] = 20.0
            return logits

    model.head = Says()
    assert model.loss([NAMED[0]]).item() < 1e-6
    assert [e.text for e in model.predict([text])[0]] == ["Brisa kettle"]


def test_texts_longer_than_the_body_are_tagged_as_far_as_it_reads(tokenizer):
    model = Tagger(tiny_gpt2().base_model, tokenizer, ["product"], longest=8)
    text, entities = NAMED[0]
    assert torch.isfinite(model.loss([(text * 9, entities)]))
    assert all(entity.end < 60 for entity in model.predict([text * 9])[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_says_the_same(tokenizer):
    here = classifier(tokenizer).eval()
    there = IntentClassifier(tiny_gpt2().base_model.to("cuda"), tokenizer, LABELS, True).eval()
    texts = [text for text, _ in TURNS]
    assert there.predict_proba(texts) == pytest.approx(here.predict_proba(texts), abs=1e-4)
    fit(there, TURNS, steps=2, rows=2)
