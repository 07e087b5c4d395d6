"""Loading, chat tokens, saving; and the classic `transformers` listing on our base model."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2LMHeadModel

from course_lib.chat_format import CHAT_TOKENS, encode_all
from course_lib.models import (
    BASE_MODEL,
    count_parameters,
    from_scratch,
    load_base,
    load_chat,
    prepare_for_chat,
    save_model,
)
from tests.tiny import bpe_tokenizer, tiny_gpt2


def test_new_rows_start_at_the_mean_and_stay_tied(model):
    size = model.get_input_embeddings().weight.shape[0]
    tokenizer = bpe_tokenizer()
    filler = [f"filler{i}" for i in range(size - len(tokenizer))]
    tokenizer.add_tokens(filler)
    before = model.get_input_embeddings().weight.detach().clone()
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    prepare_for_chat(model, tokenizer)
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        assert layer.weight.shape[0] == size + len(CHAT_TOKENS)
    new = model.get_input_embeddings().weight.detach()
    torch.testing.assert_close(new[:size], before)
    assert (new[size:] - before.mean(0)).abs().max() < 0.1 * before.std(0).max()
    assert not torch.equal(new[size], new[size + 1])
    assert tied == (model.get_output_embeddings().weight is model.get_input_embeddings().weight)
    again = new.clone()
    prepare_for_chat(model, tokenizer)
    torch.testing.assert_close(model.get_input_embeddings().weight.detach(), again)


def test_save_and_load_give_the_same_model(three_dialogues, model, tmp_path):
    model, tokenizer = prepare_for_chat(model, bpe_tokenizer())
    save_model(model, tokenizer, tmp_path / "chat")
    loaded, loaded_tokenizer = load_chat(tmp_path / "chat")
    encoded = encode_all(three_dialogues, tokenizer)
    assert encode_all(three_dialogues, loaded_tokenizer) == encoded
    ids = torch.tensor([encoded[0].ids])
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits)


def test_half_the_bytes_and_32_bits_again(tmp_path):
    model = tiny_gpt2()
    save_model(model, bpe_tokenizer(), tmp_path / "whole")
    save_model(model, bpe_tokenizer(), tmp_path / "half", half=True)
    whole, half = (
        (tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")
    )
    assert half < 0.6 * whole
    loaded = GPT2LMHeadModel.from_pretrained(tmp_path / "half")  # the classic line, no options
    for name, parameter in model.named_parameters():
        kept = loaded.get_parameter(name)
        assert kept.dtype == parameter.dtype == torch.float32
        torch.testing.assert_close(kept, parameter.half().float(), rtol=0, atol=0)


def test_missing_folder_is_said_plainly():
    with pytest.raises(FileNotFoundError, match="no model at 'data/no_such_model'"):
        load_base("data/no_such_model")


def test_loading_turns_dropout_off(tmp_path):
    model = tiny_gpt2(dropout=0.1)
    save_model(model, bpe_tokenizer(), tmp_path)
    loaded, _ = load_base(tmp_path)
    loaded.train()
    ids = torch.arange(20)[None]
    torch.testing.assert_close(loaded(ids).logits, loaded(ids).logits)
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits)


def test_shipped_base_is_what_it_says():
    model, tokenizer = load_base()
    assert 3_000_000 <= count_parameters(model) <= 6_000_000
    assert (BASE_MODEL / "model.safetensors").stat().st_size <= 15_000_000
    assert model.config.model_type == "gpt2"
    assert len(tokenizer) == 4096
    assert not set(CHAT_TOKENS) & set(tokenizer.get_vocab())


def test_from_scratch_has_the_shape_but_not_the_weights():
    base, _ = load_base()
    scratch, _ = from_scratch(seed=1)
    same, _ = from_scratch(seed=1)
    assert count_parameters(scratch) == count_parameters(base)
    assert torch.equal(scratch.transformer.wte.weight, same.transformer.wte.weight)
    assert not torch.equal(scratch.transformer.wte.weight, base.transformer.wte.weight)


def test_the_classic_listing_runs_unchanged(tmp_path):
    """The article's way: from_pretrained, Trainer, train, save_pretrained, load again."""
    from datasets import Dataset
    from transformers import (
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        GPT2LMHeadModel,
        Trainer,
        TrainingArguments,
    )

    model = GPT2LMHeadModel.from_pretrained(str(BASE_MODEL))
    tokenizer = AutoTokenizer.from_pretrained(str(BASE_MODEL))
    tokenizer.pad_token = tokenizer.eos_token
    texts = ["How long is the warranty? It is two years.", "The kettle is cleaned with water."]
    dataset = Dataset.from_dict({"text": texts * 8}).map(
        lambda row: tokenizer(row["text"]), remove_columns="text"
    )
    before = model.transformer.wte.weight.detach().clone()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(tmp_path / "out"),
            num_train_epochs=1,
            per_device_train_batch_size=4,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=dataset,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
    )
    result = trainer.train()
    assert result.global_step == 4
    assert not torch.equal(before, model.transformer.wte.weight)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    again = GPT2LMHeadModel.from_pretrained(tmp_path / "model")
    ids = tokenizer("The warranty", return_tensors="pt").input_ids
    model.eval()
    torch.testing.assert_close(again(ids).logits, model(ids).logits)


def test_gpt2s_own_tokenizer_class_reads_our_files():
    from transformers import GPT2TokenizerFast

    ours = load_base()[1]
    theirs = GPT2TokenizerFast.from_pretrained(str(BASE_MODEL))
    text = "How long is the warranty on the Brisa kettle?  It costs 39 euros.\n"
    assert theirs(text)["input_ids"] == ours(text)["input_ids"]
