"""What every constraint is: a module that makes a recurrent weight of free parameters."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Self

from torch import Tensor, nn

from momentum_exp.cells.dynamics.base import widened


class Constraint(nn.Module, ABC):
    """`constraint()` is w_hh (H, H), used as h @ w_hh^T; a layer computes it once a call, not once a time step.

    Free parameters and buffers are its own (`weight_hh_l0.A`, ..): their shapes are not the weight's, so that the
    number of parameters is that of the degrees of freedom. What training does to them beyond the optimizer's step
    (re-basing, projection) is `after_step`.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """As in torch, but `.half()`, `.to(bfloat16)`, .. leave float32: there is no orthogonal matrix below it."""

        def kept_wide(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if tensor.is_meta or not moved.is_floating_point() or widened(moved.dtype) == moved.dtype:
                return moved
            return tensor.to(moved.device, widened(moved.dtype))

        return super()._apply(kept_wide, recurse)  # type: ignore[no-any-return, no-untyped-call]

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
