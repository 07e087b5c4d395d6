"""Loading, chat tokens, saving; and the classic `transformers` listing on our base model."""

from __future__ import annotations

import sys
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from transformers import GPT2LMHeadModel

from course_lib import models
from course_lib.chat_format import CHAT_TOKENS, encode_all
from course_lib.models import (
    BASE_MODEL,
    Memory,
    Parameters,
    blend,
    count_parameters,
    estimated_memory,
    from_scratch,
    load_adapter,
    load_base,
    load_chat,
    measured_memory,
    merge_lora,
    output_is_tied,
    parameter_counts,
    prepare_for_chat,
    save_adapter,
    save_model,
    weights_of,
    with_lora,
)
from course_lib.norms import small_model
from tests.tiny import bpe_tokenizer, tiny_gpt2, tiny_llama


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


def test_new_tokens_take_the_spare_rows_of_a_padded_matrix(model):
    """Qwen's kind: more rows than tokens, the spare ones never trained."""
    tokenizer = bpe_tokenizer()
    first, size = len(tokenizer), model.get_input_embeddings().weight.shape[0]
    assert first + len(CHAT_TOKENS) < size
    before = model.get_input_embeddings().weight.detach().clone()
    prepare_for_chat(model, tokenizer)
    known, end = before[:first], first + len(CHAT_TOKENS)
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        assert layer.weight.shape[0] == size
    new = model.get_input_embeddings().weight.detach()
    assert (new[first:end] - known.mean(0)).abs().max() < 0.1 * known.std(0).max()
    torch.testing.assert_close(new[:first], known)
    torch.testing.assert_close(new[end:], before[end:])
    prepare_for_chat(model, tokenizer)
    torch.testing.assert_close(model.get_input_embeddings().weight.detach(), new)


def test_save_and_load_give_the_same_model(three_dialogues, model, tmp_path):
    model, tokenizer = prepare_for_chat(model, bpe_tokenizer())
    save_model(model, tokenizer, tmp_path / "chat")
    loaded, loaded_tokenizer = load_chat(tmp_path / "chat")
    encoded = encode_all(three_dialogues, tokenizer)
    assert encode_all(three_dialogues, loaded_tokenizer) == encoded
    ids = torch.tensor([encoded[0].ids])
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits)


def assert_saved_tied(folder) -> None:
    """Tied weights take their room once on disk, and are tied again when they load."""
    save_model(tiny_gpt2(), bpe_tokenizer(), folder)
    loaded, _ = load_base(folder)
    assert output_is_tied(loaded)
    size = (folder / "model.safetensors").stat().st_size
    assert size < 4 * count_parameters(loaded) + 20_000


def test_tied_weights_are_saved_once_and_load_tied(tmp_path):
    assert_saved_tied(tmp_path)


def _write(state, folder) -> None:
    from safetensors.torch import save_file

    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def _as_it_is(self, folder) -> None:
    _write(self.state_dict(), folder)


def _each_name_apart(self, folder) -> None:
    """The usual way round the refusal, with a config that does not say they are tied."""
    _write({name: weight.clone() for name, weight in self.state_dict().items()}, folder)
    config = deepcopy(self.config)
    config.tie_word_embeddings = False
    config.save_pretrained(folder)


@pytest.mark.parametrize(
    ("save", "error"), [(_as_it_is, RuntimeError), (_each_name_apart, AssertionError)]
)
def test_a_plain_state_dict_of_tied_weights_is_noticed(tmp_path, monkeypatch, save, error):
    """The mutants: safetensors refuses shared memory; copies of it load untied."""
    monkeypatch.setattr(GPT2LMHeadModel, "save_pretrained", save)
    with pytest.raises(error):
        assert_saved_tied(tmp_path)


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


def test_a_load_that_keeps_dropout_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "without_dropout", lambda model: model)
    with pytest.raises(AssertionError):
        test_loading_turns_dropout_off(tmp_path)


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


def assert_starts_as_gpt2_does(model) -> None:
    """Biases at 0, gains at 1, what feeds the residual stream narrower by 1/√(2L)."""
    spread, layers = model.config.initializer_range, model.config.n_layer
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert not weight.any(), name
        elif weight.dim() == 1:
            assert (weight == 1).all(), name
        else:
            expected = spread / (2 * layers) ** 0.5 if "c_proj" in name else spread
            assert weight.std().item() == pytest.approx(expected, rel=0.1), name


STARTS = {
    "from scratch": lambda: from_scratch()[0],
    "small": lambda: small_model("LayerNorm", 300),
}


@pytest.mark.parametrize("name", STARTS)
def test_random_weights_start_as_gpt2s(name):
    assert_starts_as_gpt2_does(STARTS[name]())


def _biased(module) -> None:
    if getattr(module, "bias", None) is not None:
        torch.nn.init.uniform_(module.bias, -0.1, 0.1)


def _wide_residual(module) -> None:
    if hasattr(module, "c_proj"):
        torch.nn.init.normal_(module.c_proj.weight, std=0.02)


def _torchs_own(module) -> None:
    if getattr(module, "weight", None) is not None and module.weight.dim() == 2:
        torch.nn.init.kaiming_uniform_(module.weight, a=5**0.5)


@pytest.mark.parametrize("forgets", [_biased, _wide_residual, _torchs_own])
def test_a_start_that_forgets_is_noticed(forgets):
    with pytest.raises(AssertionError):
        assert_starts_as_gpt2_does(STARTS["small"]().apply(forgets))


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


# ---- room for chat tokens, more of it


@pytest.fixture(params=["gpt2", "tied llama", "untied llama"])
def shape(request):
    """A tiny model of each shape that fine-tuning meets."""
    return {"gpt2": tiny_gpt2, "tied llama": tied_llama, "untied llama": tiny_llama}[
        request.param
    ]()


def tied_llama():
    from transformers import LlamaForCausalLM

    config = deepcopy(tiny_llama().config)
    config.tie_word_embeddings = True
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


def prepared(model):
    """The model with chat tokens, and their rows."""
    tokenizer = bpe_tokenizer()
    size = model.get_input_embeddings().weight.shape[0]
    tokenizer.add_tokens([f"filler{i}" for i in range(size - len(tokenizer))])
    prepare_for_chat(model, tokenizer)
    return model, list(range(size, len(tokenizer)))


def test_new_rows_of_an_untied_output_start_at_its_own_mean():
    model = tiny_llama()
    output = model.get_output_embeddings().weight.detach().clone()
    model, rows = prepared(model)
    new = model.get_output_embeddings().weight.detach()
    assert not output_is_tied(model)
    torch.testing.assert_close(new[: rows[0]], output)
    assert (new[rows] - output.mean(0)).abs().max() < 0.1 * output.std(0).max()
    assert not torch.allclose(new[rows], model.get_input_embeddings().weight[rows], atol=1e-3)


def test_a_tied_llama_stays_tied():
    model, rows = prepared(tied_llama())
    assert output_is_tied(model)
    assert model.get_output_embeddings().weight.shape[0] == rows[-1] + 1


def test_a_new_token_is_no_likelier_than_the_average_one(shape):
    """Rows at the mean give a new token a mean logit, so that it never drowns the old ones."""
    model, rows = prepared(shape)
    logits = model(torch.arange(20)[None]).logits[0].detach()
    assert (logits[:, rows].mean(1) <= logits[:, : rows[0]].max(1).values).all()


# ---- LoRA


def steps(model, count=3, rate=0.05):
    """A few optimiser steps on ids that hold old and new tokens."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate)
    size = model.config.vocab_size
    ids = torch.arange(size - 24, size).view(2, 12)
    model.train()
    for _ in range(count):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    model.eval()
    return optimizer


def logits_of(model):
    with torch.no_grad():
        return model(
            torch.arange(model.config.vocab_size - 30, model.config.vocab_size)[None]
        ).logits


def test_lora_changes_nothing_at_first_and_merges_to_the_same(shape):
    model, rows = prepared(shape)
    tied, before = output_is_tied(model), logits_of(model)
    model = with_lora(model, rank=4, tokens=rows)
    torch.testing.assert_close(logits_of(model), before, atol=1e-6, rtol=0)
    steps(model)
    model = model.double()  # in fp32 the rounding of some processors alone exceeds 1e-5
    after = logits_of(model)
    assert (after - before).abs().max() > 0.1
    model = merge_lora(model)
    torch.testing.assert_close(logits_of(model), after, atol=1e-10, rtol=0)
    assert not any("lora" in name for name in model.state_dict())
    assert output_is_tied(model) == tied == model.config.tie_word_embeddings
    assert parameter_counts(model).share == 1


@pytest.mark.filterwarnings("ignore:.*(tie_word_embeddings|no longer tied)")
def test_lora_that_unties_is_noticed(monkeypatch):
    """The mutant: both layers trained whole, the usual advice; each gets a copy of its own."""
    import peft

    def whole_layers(trainable_token_indices, **settings):
        return peft.LoraConfig(modules_to_save=["embed_tokens", "lm_head"], **settings)

    theirs = SimpleNamespace(LoraConfig=whole_layers, get_peft_model=peft.get_peft_model)
    monkeypatch.setattr(models, "_peft", lambda: theirs)
    with pytest.raises(AssertionError, match="output_is_tied"):
        test_lora_changes_nothing_at_first_and_merges_to_the_same(tied_llama())


def test_lora_trains_the_adapters_and_the_new_rows_only(shape):
    model, rows = prepared(shape)
    plain = deepcopy(model)
    model = with_lora(model, rank=4, tokens=rows)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained and all("lora_" in name or "trainable_tokens" in name for name in trained)
    steps(model)
    merged = merge_lora(model)
    for layer in ("get_input_embeddings", "get_output_embeddings"):
        new, old = getattr(merged, layer)().weight, getattr(plain, layer)().weight
        assert torch.equal(new[: rows[0]], old[: rows[0]])
        assert (new[rows] != old[rows]).any(1).all()
    moved = [
        name
        for name, weight in merged.named_parameters()
        if not torch.equal(weight, plain.get_parameter(name))
    ]
    assert any("attn" in name for name in moved) and any("mlp" in name for name in moved)
    assert not any("norm" in name or "ln_" in name or "bias" in name for name in moved)


def test_without_token_rows_the_new_tokens_stay_as_they_are():
    """The mistake that the argument is there for: the chat tokens are never learned."""
    model, rows = prepared(tiny_gpt2())
    before = model.get_input_embeddings().weight[rows].detach().clone()
    steps(with_lora(model, rank=4))
    torch.testing.assert_close(merge_lora(model).get_input_embeddings().weight[rows], before)


def test_targets_may_be_named():
    model = with_lora(tiny_gpt2(), rank=2, targets=["c_attn"])
    names = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert names and all("c_attn" in name for name in names)


def test_the_share_is_what_ranks_and_shapes_say():
    model = tiny_gpt2()
    whole, width = count_parameters(model), 32
    model = with_lora(model, rank=4, tokens=[418, 419])
    matrices = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    expected = 2 * sum(4 * (a + b) for a, b in matrices) + 2 * width
    assert parameter_counts(model) == Parameters(expected, whole + expected)
    assert str(parameter_counts(model)).startswith(f"{expected:,} of ")


def test_an_adapter_is_saved_and_loaded(shape, tmp_path):
    model, rows = prepared(shape)
    plain, again = deepcopy(model), deepcopy(model)
    model = with_lora(model, rank=4, tokens=rows)
    steps(model)
    save_adapter(model, tmp_path / "adapter")
    size = (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size
    assert size < 5 * parameter_counts(model).trained + 20_000
    loaded = load_adapter(again, tmp_path / "adapter")
    torch.testing.assert_close(logits_of(loaded), logits_of(model))
    assert parameter_counts(loaded) == parameter_counts(model)  # and may be trained on
    from peft import PeftModel

    theirs = PeftModel.from_pretrained(plain, str(tmp_path / "adapter")).eval()
    torch.testing.assert_close(logits_of(theirs), logits_of(model))


def test_a_merged_model_is_saved_as_any_other(tmp_path):
    model, rows = prepared(tiny_gpt2())
    steps(with_lora(model, rank=4, tokens=rows))
    model = merge_lora(model)
    save_model(model, bpe_tokenizer(), tmp_path)
    torch.testing.assert_close(
        logits_of(GPT2LMHeadModel.from_pretrained(tmp_path)), logits_of(model)
    )


def test_lora_goes_through_the_training_loop(tokenizer, three_dialogues):
    from course_lib.batching import PackedDialogues
    from course_lib.training import TrainConfig, train

    model, _ = prepare_for_chat(tiny_gpt2(400), bpe_tokenizer())
    rows = list(range(400, model.config.vocab_size))
    model = with_lora(model, rank=4, tokens=rows)
    frozen = {n: w.detach().clone() for n, w in model.named_parameters() if not w.requires_grad}
    data = PackedDialogues(encode_all(three_dialogues, tokenizer), tokenizer.pad_token_id, 128, 2)
    config = TrainConfig(max_steps=12, learning_rate=0.02, warmup_steps=2, precision="fp32")
    losses = [record["loss"] for record in train(model, data, config).records]
    assert losses[-1] < losses[0]
    for name, weight in frozen.items():
        assert torch.equal(model.get_parameter(name), weight), name


def test_lora_says_what_is_wrong(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="rank 0"):
        with_lora(tiny_gpt2(), rank=0)
    with pytest.raises(ValueError, match="no adapters"):
        merge_lora(tiny_gpt2())
    with pytest.raises(ValueError, match="not found"):
        with_lora(tiny_gpt2(), targets=["no_such_layer"])
    with pytest.raises(FileNotFoundError, match="no adapter in"):
        load_adapter(tiny_gpt2(), tmp_path)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match="extra `compare`"):
        with_lora(tiny_gpt2())


# ---- counts


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("name", ["adamw", "sgd", "momentum"])
def test_estimated_memory_is_what_a_step_takes(shape, name, lora):
    model, rows = prepared(shape)
    model = with_lora(model, rank=2, tokens=rows) if lora else model
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = {
        "adamw": lambda: torch.optim.AdamW(trained, lr=1e-3),
        "sgd": lambda: torch.optim.SGD(trained, lr=1e-3),
        "momentum": lambda: torch.optim.SGD(trained, lr=1e-3, momentum=0.9),
    }[name]()
    expected = estimated_memory(model, name)
    ids = torch.arange(24).view(2, 12)
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    assert measured_memory(model, optimizer) == expected
    assert expected.total == expected.weights + expected.gradients + expected.optimizer


def test_memory_by_hand():
    model = tiny_gpt2()
    weights = 4 * count_parameters(model)
    assert estimated_memory(model) == Memory(weights, weights, 2 * weights)
    assert str(Memory(10**6, 10**6, 2 * 10**6)).startswith("4.0 MB: weights 1.0 MB")
    half = estimated_memory(model.bfloat16())
    assert half.weights == weights // 2
    with pytest.raises(ValueError, match="choose from adamw"):
        estimated_memory(model, "lion")


# ---- between two sets of weights


@torch.no_grad()
def moved(model):
    """The model with every weight one higher, and its weights before."""
    start = weights_of(model)
    for weight in model.parameters():
        weight += 1.0
    return start


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_a_blend_lies_so_far_on_the_way(model, share):
    start = moved(model)
    blend(model, start, share)
    for name, weight in model.named_parameters():
        assert torch.allclose(weight, start[name] + share, atol=1e-6)


def test_a_blend_may_be_of_some_layers_only(model):
    start = moved(model)
    blend(model, start, 0.25, where=".mlp.")
    shares = {n: float((w - start[n]).mean()) for n, w in model.named_parameters()}
    assert {round(share, 3) for name, share in shares.items() if ".mlp." in name} == {0.25}
    assert {round(share, 3) for name, share in shares.items() if ".mlp." not in name} == {1.0}


def test_a_blend_keeps_tied_weights_tied():
    model = tiny_gpt2()
    blend(model, moved(model), 0.5)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_copy_of_the_weights_does_not_move_with_them(model):
    start = moved(model)
    assert all(not torch.equal(start[n], w) for n, w in model.named_parameters())


def test_a_blend_says_what_does_not_fit():
    model = tiny_gpt2()
    with pytest.raises(ValueError, match=r"share 70: it lies between 0"):
        blend(model, weights_of(model), 70)
    with pytest.raises(ValueError, match="not the weights of one model"):
        blend(model, weights_of(tiny_llama()), 0.7)
    with pytest.raises(ValueError, match="prepare_for_chat first"):
        blend(model, weights_of(tiny_gpt2(vocabulary=300)), 0.7)
    with pytest.raises(ValueError, match="no weight has '.ffn.' in its name"):
        blend(model, weights_of(model), 0.7, where=".ffn.")
