"""What the unitary cells share: complex h, drive and input weight, and the input weight's initial values."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import nn

from momentum_exp.cells.recurrences.modrelu import ModReLU
from momentum_exp.cells.weights import Weights


class Unitary(ModReLU):
    """pre = u + U h ; h = modReLU(pre, b), all complex but b; the layer puts out [Re h, Im h].

    The released code of MomentumRNN has no unitary cell: both values of `init` mean the source's initial values.
    """

    complex_valued: ClassVar[bool] = True

    @abstractmethod
    def input_bound(self, input_size: int, hidden_size: int) -> float:
        """Real and imaginary parts of W_ih start in U(-bound, bound)."""

    def init_torch_(self, weights: Weights, forget_bias: float | None = None, bound: float | None = None) -> None:
        """W_ih and b as in the source of the cell, unless a `bound` is given for W_ih."""
        bound = self.input_bound(weights.w_ih.shape[1], len(weights.w_ih)) if bound is None else bound
        nn.init.uniform_(torch.view_as_real(weights.w_ih), -bound, bound)
        self.init_extra_(weights)

    def init_released_(self, weights: Weights, forget_bias: float | None = None) -> None:
        """W_ih and b as in the source of the cell."""
        self.init_torch_(weights)
