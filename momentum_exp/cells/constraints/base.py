"""What every constraint is: a module that makes a recurrent weight of free parameters."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Constraint(nn.Module, ABC):
    """`constraint()` is w_hh (H, H), used as h @ w_hh^T; a layer computes it once a call, not once a time step.

    Free parameters and buffers are its own (`weight_hh_l0.A`, ..): their shapes are not the weight's, so that the
    number of parameters is that of the degrees of freedom. What training does to them beyond the optimizer's step
    (re-basing, projection) is `after_step`.
    """

    def __call__(self) -> Tensor:
        """`forward` in the parameters' own precision, also under autocast."""
        with torch.autocast(next(self.parameters()).device.type, enabled=False):
            weight_HH: Tensor = super().__call__()
        return weight_HH

    @abstractmethod
    def forward(self) -> Tensor:
        """The weight w_hh (H, H)."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draw the free parameters anew from torch's global generator."""

    def after_step(self) -> None:
        """To be called once after each optimizer step; does nothing by default."""
        return


def constraints(model: nn.Module) -> Iterator[Constraint]:
    """The constraints anywhere in `model`."""
    return (module for module in model.modules() if isinstance(module, Constraint))


def after_step(model: nn.Module) -> None:
    """Let every constrained weight in `model` do what it does after an optimizer step: re-base, project.

    Training code of your own calls it after `optimizer.step()`; without constrained weights it does nothing.
    """
    for constraint in constraints(model):
        constraint.after_step()
