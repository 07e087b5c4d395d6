"""What training switches on in a model, and off again at its end: dropout, NEFTune, and more.

Each is a context manager that leaves the model as it was, its weights' names included.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

from course_lib.attention import plain_products
from course_lib.train_config import TrainConfig


@contextmanager
def switched_on(model: Any, config: TrainConfig) -> Iterator[None]:
    """The model in training mode, with what the config asks for; in evaluation mode afterwards.

    On a CPU its attention takes the faster way of `course_lib.attention` meanwhile.
    """
    with ExitStack() as stack:
        stack.enter_context(plain_products(model))
        if config.dropout is not None:
            stack.enter_context(dropout(model, config.dropout))
        if config.neftune_alpha:
            stack.enter_context(neftune(model, config.neftune_alpha))
        if config.gradient_checkpointing:
            stack.enter_context(gradient_checkpointing(model))
        if config.compile:
            stack.enter_context(compiled(model))
        model.train()
        stack.callback(model.eval)
        yield


@contextmanager
def dropout(model: Any, share: float) -> Iterator[None]:
    """Sets every dropout of the model to `share`, then gives each its own value back.

    Raises ValueError when the architecture has none to set.
    """
    places = list(_dropouts(model))
    if share and not places:
        raise ValueError(f"{type(model).__name__} has no dropout to set; leave dropout=None")
    before = [getattr(module, name) for module, name in places]
    try:
        for module, name in places:
            setattr(module, name, share)
        yield
    finally:
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)


def _dropouts(model: Any) -> Iterator[tuple[Any, str]]:
    """(module, attribute): layers of their own, and the shares that attention passes on."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            yield module, "p"
        elif isinstance(getattr(module, "attention_dropout", None), float):
            yield module, "attention_dropout"


@contextmanager
def neftune(model: Any, alpha: float) -> Iterator[None]:
    """Adds noise to the embeddings while the model is in training mode.

    Uniform in ±alpha/√(L·d), with L the real length of the dialogue (padding and packed neighbours
    not counted) and d the width: Jain and others (2023), https://arxiv.org/abs/2310.05914.
    """
    seen: dict[str, Any] = {}

    def look(module: Any, positional: Any, named: dict[str, Any]) -> None:
        seen["mask"] = named.get("attention_mask")

    def add_noise(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if not module.training:
            return output
        size = alpha / (real_lengths(seen.get("mask"), output) * output.shape[-1]).sqrt()
        noise = torch.empty_like(output).uniform_(-1.0, 1.0)
        return output + noise * size.unsqueeze(-1).to(output.dtype)

    hooks = [
        _body(model).register_forward_pre_hook(look, with_kwargs=True),
        model.get_input_embeddings().register_forward_hook(add_noise),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def real_lengths(mask: torch.Tensor | None, hidden: torch.Tensor) -> torch.Tensor:
    """Tokens of the dialogue that each position belongs to: (B, T) or broadcast to it, floats.

    `mask` is None, (B, T) when padded, or (B, 1, T, T) when packed, as `batching` builds them.
    """
    if mask is None:
        return torch.full(hidden.shape[:2], float(hidden.shape[1]), device=hidden.device)
    if mask.dim() == 2:
        return mask.sum(1, keepdim=True).clamp(min=1).float().expand(hidden.shape[:2])
    looks = mask[:, 0] if mask.dtype == torch.bool else mask[:, 0] == 0  # True: may look
    return (looks.sum(-1) + looks.sum(-2) - 1).float()  # those before it, and those after


@contextmanager
def gradient_checkpointing(model: Any) -> Iterator[None]:
    """Keeps only the input of each block and computes the rest anew in the backward pass."""
    new = hasattr(model, "activation_checkpointing_enable")  # its name from transformers 5.23 on
    name = "activation_checkpointing" if new else "gradient_checkpointing"
    getattr(model, f"{name}_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        getattr(model, f"{name}_disable")()
        with suppress(AttributeError):  # the hook on the embeddings that enabling left
            model.disable_input_require_grads()


@contextmanager
def compiled(model: Any) -> Iterator[None]:
    """Compiles the model's body in place: a wrapper would rename every weight it saves."""
    body = _body(model)
    body.compile()
    try:
        yield
    finally:
        body._compiled_call_impl = None  # what `compile` set; torch offers no way back


def _body(model: Any) -> Any:
    """The part below the output layer, also inside PEFT's wrapper."""
    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    return core.base_model
