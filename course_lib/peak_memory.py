"""How much memory a piece of work needs, in bytes of tensors: the same figure on every machine."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.batching import IGNORE
from course_lib.losses import LossConfig, lm_loss, token_cross_entropy


def peak_tensor_bytes(work: Callable[[], Any]) -> int:
    """The most bytes that tensors made by `work()` held at one time, forward and backward.

    Tensors from before do not count; views count once, with what they look at; what a kernel uses
    inside itself does not show. On a GPU `torch.cuda.max_memory_allocated` tells it all.
    """
    with _Ledger() as ledger:
        outcome = work()
    del outcome
    return ledger.peak


def logit_peaks(
    vocabulary: int = 50_257, hidden: int = 192, chunk: int = 32, seed: int = 0
) -> dict[str, int]:
    """Peak bytes of a training step of a one-layer GPT-2, measured three ways.

    The batch has 1,024 positions, half of them trained. Logits of all positions, of the trained
    ones only, and in chunks of trained ones.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = GPT2Config(
            vocab_size=vocabulary, n_positions=257, n_embd=hidden, n_layer=1, n_head=3
        )
        model = GPT2LMHeadModel(config).eval()
        ids = torch.randint(0, vocabulary, (4, 257))
    labels = ids.clone()
    labels[:, :129] = IGNORE
    batch = {"input_ids": ids, "labels": labels}
    ways = {
        "all positions": lambda: token_cross_entropy(model(ids).logits, labels),
        "trained only": lambda: lm_loss(model, batch),
        f"chunks of {chunk}": lambda: lm_loss(model, batch, config=LossConfig(chunk=chunk)),
    }
    return {name: _peak_of_a_step(model, loss) for name, loss in ways.items()}


def _peak_of_a_step(model: Any, loss: Callable[[], torch.Tensor]) -> int:
    model.zero_grad(set_to_none=True)
    return peak_tensor_bytes(lambda: loss().backward())


class _Ledger(TorchDispatchMode):
    """Books every new storage when an operation returns it, and strikes it off when it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = {_address(leaf) for leaf in tree_leaves((args, kwargs)) if _is_tensor(leaf)}
        out = func(*args, **(kwargs or {}))
        for leaf in filter(_is_tensor, tree_leaves(out)):
            if _address(leaf) not in before:
                self._book(leaf.untyped_storage())
        return out

    def _book(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or not size:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._strike_off, key, size)

    def _strike_off(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _address(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
