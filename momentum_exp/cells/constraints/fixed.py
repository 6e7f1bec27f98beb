"""A constrained weight that is learned no more."""

import torch
from torch import Tensor, nn

from momentum_exp.cells.constraints.base import Constraint


class Fixed(Constraint):
    """The matrix that another constraint has come to, as a buffer: nothing to compute, nothing to learn."""

    def __init__(self, weight_HH: Tensor) -> None:
        super().__init__()
        self.weight_HH: Tensor
        self.register_buffer("weight_HH", weight_HH.detach().clone(memory_format=torch.contiguous_format))

    def forward(self) -> Tensor:
        return self.weight_HH

    def reset_parameters(self) -> None:
        """Nothing is drawn."""


@torch.no_grad()
def fix_constraints(model: nn.Module) -> None:
    """Put its present matrix in the place of every constraint in `model`, for inference; names of weights change."""
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, Constraint):
                parent.add_module(name, Fixed(module()))
