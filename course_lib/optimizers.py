"""Optimisers: AdamW as everywhere, or Muon for the hidden matrices beside it.

Muon (https://kellerjordan.github.io/posts/muon/) makes the update of each matrix orthogonal, so
that rare directions move as far as frequent ones. It is for the matrices inside the blocks only;
embeddings, output layer, biases and gains stay with AdamW. Both come from `torch.optim`.
"""

from __future__ import annotations

from typing import Any

import torch

OPTIMIZERS = ("adamw", "muon")
BETAS = (0.9, 0.95)


def make_optimizer(
    model: Any, name: str, learning_rate: float, weight_decay: float, hold_embeddings: bool
) -> torch.optim.Optimizer:
    """AdamW or, with "muon", Muon for the hidden matrices and AdamW for all else.

    Weight decay falls on matrices only, never on biases and gains, nor on held embeddings.
    Muon's steps are scaled to the size of AdamW's, so one learning rate serves both.
    """
    held = token_weights(model) if hold_embeddings else set()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    hidden = hidden_matrices(model) if name == "muon" else set()
    rest = [parameter for parameter in trained if parameter not in hidden]
    decayed = [p for p in rest if p.dim() >= 2 and p not in held]
    others = [p for p in rest if p.dim() < 2 or p in held]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS, fused=True)
    if name == "adamw":
        return adamw
    if not hasattr(torch.optim, "Muon"):
        raise RuntimeError(
            f"optimizer 'muon' needs torch 2.9 or newer, this is {torch.__version__}; "
            "update torch or choose 'adamw'"
        )
    muon = torch.optim.Muon(
        [parameter for parameter in trained if parameter in hidden],
        lr=learning_rate,
        weight_decay=weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return SideBySide(adamw, muon)


def token_weights(model: Any) -> set[torch.Tensor]:
    """The embedding and the output layer (one and the same where they are tied)."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return {layer.weight for layer in layers}


def hidden_matrices(model: Any) -> set[torch.Tensor]:
    """All matrices but token embeddings, output layer and embeddings of positions."""
    tables = {m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    matrices = {parameter for parameter in model.parameters() if parameter.dim() == 2}
    return matrices - tables - token_weights(model)


class SideBySide(torch.optim.Optimizer):
    """Several optimisers for different parameters of one model, used as if they were one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        # The same dictionaries, so that a learning rate set here is set in the part as well.
        self.param_groups = [group for part in parts for group in part.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of each part."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The state of each part, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse of `state_dict`; the groups are the parts' new ones afterwards."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
