"""scoRNN: an orthogonal RNN by the scaled Cayley transform."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from momentum_exp.cells.checks import require, require_count
from momentum_exp.cells.constraints.cayley import ScaledCayley
from momentum_exp.cells.recurrences.modrelu import ModReLU
from momentum_exp.cells.weights import Weights


@dataclass(frozen=True)
class ScoRNN(ModReLU):
    """pre = u + h B ; h = modReLU(pre, b) ; B = (1 + S)^-1 (1 - S) D, S = A - A^T, D = diag(1, .., -1, ..).

    Source: Helfrich, Willmott and Ye, Orthogonal recurrent neural networks with scaled Cayley transform, 2018, and
    its released code (SpartinStuff/scoRNN). Init `released` is that code's: W_ih ~ U(-0.01, 0.01), b = 0. It trains
    with RMSprop, learning rate 1e-3, 1e-4 for A, without clipping.

    negative: how many of the last entries of D are -1, 0 to H; None: a tenth of H, as in the code (17 at H = 170).
    The paper chooses it for each task.
    """

    name: ClassVar[str] = "scornn"
    negative: int | None = None

    def __post_init__(self) -> None:
        if self.negative is not None:
            require_count("negative", self.negative, 0)

    def constraint(self, hidden_size: int) -> ScaledCayley:
        negative = hidden_size // 10 if self.negative is None else self.negative
        require(negative <= hidden_size, "negative", negative, f"0 <= negative <= hidden_size={hidden_size}")
        return ScaledCayley(hidden_size, negative)

    def init_released_(self, weights: Weights, forget_bias: float | None = None) -> None:
        nn.init.uniform_(weights.w_ih, -0.01, 0.01)
        self.init_extra_(weights)

    @torch.no_grad()
    def init_extra_(self, weights: Weights) -> None:
        weights.extra["bias_modrelu"].zero_()
