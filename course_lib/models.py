"""Models: load the base, start from scratch, make room for chat tokens, save, count.

The base model is an ordinary `transformers` folder; nothing here is special to it, so the same
calls take GPT-2, SmolLM2 or Qwen by folder or by name.
"""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from course_lib.chat_format import prepare_tokenizer

ROOT = Path(__file__).resolve().parent.parent
BASE_MODEL = ROOT / "data" / "base_model"


def base_model_name() -> str:
    """The base model's folder or Hub name: variable COURSE_BASE_MODEL, else the shipped one."""
    return os.environ.get("COURSE_BASE_MODEL") or str(BASE_MODEL)


def load_tokenizer(name: str | Path | None = None) -> Any:
    """The tokenizer of a model folder or Hub name (default: the course's base model)."""
    from transformers import AutoTokenizer

    return _explained(AutoTokenizer.from_pretrained, name)


def load_base(name: str | Path | None = None) -> tuple[Any, Any]:
    """A pretrained causal language model and its tokenizer, as they come: no chat format yet."""
    from transformers import AutoModelForCausalLM

    model = _explained(AutoModelForCausalLM.from_pretrained, name, dtype=torch.float32)
    return _for_text(without_dropout(model)), load_tokenizer(name)


def from_scratch(name: str | Path | None = None, seed: int = 0) -> tuple[Any, Any]:
    """The same architecture and tokenizer with random weights drawn from `seed`."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = _explained(AutoConfig.from_pretrained, name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return _for_text(without_dropout(model)), load_tokenizer(name)


def _explained(load: Any, name: str | Path | None, **options: Any) -> Any:
    source = str(name or base_model_name())
    try:
        return load(source, **options)
    except OSError as error:
        raise FileNotFoundError(
            f"no model at {source!r}. Give a folder that holds config.json and weights "
            f"(the course ships data/base_model), or set COURSE_ONLINE=1 for a name on the Hub"
        ) from error


def _for_text(model: Any) -> Any:
    """Names the loss of `model(..., labels=...)`, as transformers warns for GPT-2 otherwise."""
    model.loss_type = "ForCausalLM"
    return model


def without_dropout(model: Any) -> Any:
    """Sets every dropout to 0: one epoch over small data needs none, and it costs time."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout"):
        if hasattr(model.config, name):
            setattr(model.config, name, 0.0)
    return model


def prepare_for_chat(model: Any, tokenizer: Any, seed: int = 0) -> tuple[Any, Any]:
    """Adds the chat tokens to tokenizer and model; new rows start at the mean of the old ones.

    A little seeded noise (0.02 of the old rows' spread) tells them apart. Tied output weights
    stay tied. A second call changes nothing.
    """
    old = model.get_input_embeddings().weight.shape[0]
    prepare_tokenizer(tokenizer)
    if len(tokenizer) > old:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        _start_at_the_mean(model.get_input_embeddings().weight, old, seed)
        output = model.get_output_embeddings()
        if output.weight is not model.get_input_embeddings().weight:
            _start_at_the_mean(output.weight, old, seed)
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


@torch.no_grad()
def _start_at_the_mean(weight: torch.Tensor, old: int, seed: int) -> None:
    known = weight[:old]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(weight[old:].shape, generator=generator).to(weight)
    weight[old:] = known.mean(0) + 0.02 * known.std(0) * noise


def load_chat(folder: str | Path) -> tuple[Any, Any]:
    """A model that `save_model` wrote, ready to chat."""
    model, tokenizer = load_base(folder)
    return prepare_for_chat(model, tokenizer)


def save_model(model: Any, tokenizer: Any, folder: str | Path, half: bool = False) -> Path:
    """Writes model and tokenizer as a `transformers` folder (safetensors); returns the folder.

    With `half` the weights take 16 bits on disk (fp16, rounded once); they load as 32 bits again.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (deepcopy(model).half() if half else model).save_pretrained(folder)
    if half:
        model.config.dtype = torch.float32
        model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def count_parameters(model: Any) -> int:
    """Number of weights, tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())
