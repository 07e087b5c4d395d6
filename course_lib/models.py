"""Models: load the base, start from scratch, make room for chat tokens, save, LoRA, count.

The base model is an ordinary `transformers` folder; nothing here is special to it, so the same
calls take GPT-2, SmolLM2 or Qwen by folder or by name.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
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
    stay tied. A second call changes nothing. Both come as they were loaded: of a tokenizer that
    has the chat tokens already, those rows count as trained.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    first = min(rows, len(tokenizer))  # a matrix may have more rows than there are tokens
    prepare_tokenizer(tokenizer)
    if len(tokenizer) > rows:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    if len(tokenizer) > first:
        new = slice(first, len(tokenizer))
        _start_at_the_mean(model.get_input_embeddings().weight, new, seed)
        output = model.get_output_embeddings()
        if output.weight is not model.get_input_embeddings().weight:
            _start_at_the_mean(output.weight, new, seed)
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


@torch.no_grad()
def _start_at_the_mean(weight: torch.Tensor, new: slice, seed: int) -> None:
    known = weight[: new.start]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(weight[new].shape, generator=generator).to(weight)
    weight[new] = known.mean(0) + 0.02 * known.std(0) * noise


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


# ---- between two sets of weights


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    """A copy of the model's weights, tied ones once, for `blend`."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@torch.no_grad()
def blend(model: Any, start: Mapping[str, torch.Tensor], share: float, where: str = "") -> Any:
    """Leaves the model only `share` of the way from the weights `start` to its own, in place.

    Fine-tuning forgets some of what the start knew. Part of the way back keeps most of what was
    learned and brings much of the forgotten back. 0 gives the start, 1 the model as it is. With
    `where` only weights whose names hold it go back: ".mlp." are the layers that keep most facts.
    Source: Wortsman and others (2022), https://arxiv.org/abs/2109.01903; for the layers Geva and
    others (2021), https://arxiv.org/abs/2012.14913.
    Raises ValueError when the share is not within 0 and 1, the weights are another model's, or no
    name holds `where`.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share {share}: it lies between 0 (the start) and 1 (the model)")
    own = dict(model.named_parameters())
    if strange := own.keys() ^ start.keys():
        raise ValueError(f"not the weights of one model: only one has {sorted(strange)[0]!r}")
    chosen = {name: weight for name, weight in own.items() if where in name}
    if not chosen:
        raise ValueError(f"no weight has {where!r} in its name; one is {next(iter(own))!r}")
    for name, weight in chosen.items():
        if weight.shape != start[name].shape:
            shapes = f"{tuple(start[name].shape)} and {tuple(weight.shape)}"
            raise ValueError(f"{name!r} has the shapes {shapes}; call prepare_for_chat first")
        weight.lerp_(start[name].to(weight), 1.0 - share)
    return model


# ---- LoRA, by PEFT


def with_lora(
    model: Any,
    rank: int = 8,
    alpha: float = 16.0,
    targets: Sequence[str] | None = None,
    tokens: Iterable[int] = (),
) -> Any:
    """Freezes the model and puts trainable low-rank matrices beside its linear layers, in place.

    Each adapted weight W acts as W + alpha/rank * B A, with B at zero, so that nothing changes at
    first. `targets` are names of layers (default: all linear layers but the output layer, also
    GPT-2's Conv1D). The rows of `tokens` are trained as well, in the embedding and in the output
    layer, which stay tied where they were: new chat tokens mean nothing until they are.
    Source: Hu and others (2021), https://arxiv.org/abs/2106.09685; `peft` does the work.
    Raises ImportError when peft is missing, ValueError for a rank below 1 or unknown targets.
    """
    if rank < 1:
        raise ValueError(f"rank {rank}: LoRA needs at least 1")
    peft = _peft()
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=list(targets) if targets else "all-linear",
        fan_in_fan_out=_has_conv1d(model),
        trainable_token_indices=_token_rows(model, tokens),
        task_type="CAUSAL_LM",
    )
    with _quiet():
        wrapped = peft.get_peft_model(model, config)
    return _inside_out(wrapped)


def merge_lora(model: Any) -> Any:
    """Adds the adapters to the weights: a plain model again, all of it trainable.

    Raises ValueError when the model has no adapters.
    """
    merged = _adapters(model).merge_and_unload(safe_merge=True)
    del merged.__dict__["_adapters"]
    return merged.requires_grad_(True)


def save_adapter(model: Any, folder: str | Path) -> Path:
    """Writes the adapters alone, in PEFT's own form; the base model is not in it."""
    _adapters(model).save_pretrained(str(folder), save_embedding_layers=False)
    return Path(folder)


def load_adapter(model: Any, folder: str | Path) -> Any:
    """Puts saved adapters beside the weights of the base model they were trained on, in place."""
    if not (Path(folder) / "adapter_config.json").is_file():
        raise FileNotFoundError(f"no adapter in {str(folder)!r}: it holds no adapter_config.json")
    with _quiet():
        wrapped = _peft().PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    return _inside_out(wrapped)


@contextmanager
def _quiet() -> Iterator[None]:
    """peft 0.21 asks transformers 5.23 by a name that is on its way out; not a learner's matter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        yield


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ImportError(
            "LoRA needs the package peft, of the extra `compare`: "
            'python3 course.py lab installs it, or pip install "peft>=0.15"'
        ) from error
    return peft


def _inside_out(wrapped: Any) -> Any:
    """The `transformers` model itself, adapters inside; PEFT's wrapper stays beside it.

    The training loop takes the model as any other. Kept in `__dict__`, the wrapper is no part of
    the model: else each would hold the other, and the state dict would never end.
    """
    model = wrapped.get_base_model()
    model.__dict__["_adapters"] = wrapped
    return model


def _adapters(model: Any) -> Any:
    if "_adapters" not in model.__dict__:
        raise ValueError("this model has no adapters: with_lora or load_adapter puts them in")
    return model.__dict__["_adapters"]


def _has_conv1d(model: Any) -> bool:
    """Whether linear layers keep their weights as (in, out), as GPT-2's do."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) for module in model.modules())


def _token_rows(model: Any, tokens: Iterable[int]) -> dict[str, list[int]] | None:
    """The rows to train, by layer; a tied output layer follows the embedding by itself."""
    rows = list(tokens)
    layers = [model.get_input_embeddings()]
    if not output_is_tied(model):
        layers.append(model.get_output_embeddings())
    names = {module: name for name, module in model.named_modules()}
    return {names[layer]: rows for layer in layers} if rows else None


def output_is_tied(model: Any) -> bool:
    """Whether the output layer's weights are the embedding itself."""
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


# ---- counts


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many weights are trained, of how many; tied ones count once."""

    trained: int
    all: int

    @property
    def share(self) -> float:
        return self.trained / self.all

    def __str__(self) -> str:
        return f"{self.trained:,} of {self.all:,} ({self.share:.1%})"


def parameter_counts(model: Any) -> Parameters:
    """Trained and all weights of a model."""
    weights = list(model.parameters())
    return Parameters(sum(w.numel() for w in weights if w.requires_grad), count_parameters(model))


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a training run that do not depend on the batch; activations come on top."""

    weights: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer

    def __str__(self) -> str:
        parts = ("weights", "gradients", "optimizer")
        told = ", ".join(f"{name} {getattr(self, name) / 1e6:.1f} MB" for name in parts)
        return f"{self.total / 1e6:.1f} MB: {told}"


_STATES = {"adamw": 2, "sgd": 0, "momentum": 1}  # numbers kept for each trained weight


def estimated_memory(model: Any, optimizer: str = "adamw") -> Memory:
    """What training would take, from counts alone: no step is made.

    A gradient is as large as its weight. AdamW keeps two numbers for each trained weight, SGD with
    momentum one, plain SGD none. Raises ValueError for another optimiser.
    """
    if optimizer not in _STATES:
        raise ValueError(f"optimizer {optimizer!r}: choose from {', '.join(_STATES)}")
    trained = _bytes(weight for weight in model.parameters() if weight.requires_grad)
    return Memory(_bytes(_held(model)), trained, _STATES[optimizer] * trained)


def measured_memory(model: Any, optimizer: torch.optim.Optimizer) -> Memory:
    """What is really held, by tensor; call it after a step, before the gradients are dropped."""
    gradients = (weight.grad for weight in model.parameters() if weight.grad is not None)
    states = (state for kept in optimizer.state.values() for state in kept.values())
    tensors = (state for state in states if isinstance(state, torch.Tensor) and state.dim())
    return Memory(_bytes(_held(model)), _bytes(gradients), _bytes(tensors))


def _held(model: Any) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
