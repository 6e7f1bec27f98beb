"""The RNN whose recurrent weight may deviate from orthogonality by a margin."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from momentum_exp.cells.checks import require, require_word
from momentum_exp.cells.constraints.spectral import SpectralMargin
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "identity": torch.positive}


@dataclass(frozen=True)
class SoftOrthogonal(Recurrence):
    """pre = u + W h + b_hh ; h = act(pre) ; W = L diag(s) R^T, |s - 1| <= margin, L and R orthogonal.

    Source: Vorontsov, Trabelsi, Kadoury and Pal, On orthogonality and learning recurrent networks with long term
    dependencies, 2017, and its released code (veugene/spectre_release). Init `released` is that code's: W_ih ~
    U(-0.01, 0.01), biases 0, s = 1. What differs from it:
    - There L and R move by plain gradient descent along geodesics (size 1e-6) by a Cayley transform, and s by an
      RMSprop of its own (1e-4 over twice the margin). Here all of W follows `optimizer.orthogonal` and its learning
      rate; `sgd` is that descent, see `SpectralMargin`.
    - The code multiplies its Cayley step from the left with G^T L - L^T G, which need not descend (G the gradient);
      the step here belongs to G L^T - L G^T.
    - One bias there (here b_ih in the drive and b_hh); h_0 is learned there and zero here; no weight decay on W
      here; gradients there are also clipped at 100 at every time step.

    margin: 0 (W orthogonal) to 1; the source tries 0, 0.001, 0.01, 0.1, 1 and none.
    activation: relu (a choice made here), tanh, or identity, the code's default.
    """

    name: ClassVar[str] = "soft_orthogonal"
    gate_blocks: ClassVar[int] = 1
    margin: float = 0.1
    activation: str = "relu"

    def __post_init__(self) -> None:
        require(0 <= self.margin <= 1, "margin", self.margin, "0 <= margin <= 1")
        require_word("activation", self.activation, tuple(ACTIVATIONS))

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        pre_BG = u_BG + F.linear(state["h"], weights.w_hh, weights.b_hh)
        return pre_BG, {"h": ACTIVATIONS[self.activation](pre_BG)}

    def constraint(self, hidden_size: int) -> SpectralMargin:
        return SpectralMargin(hidden_size, self.margin)

    def init_released_(self, weights: Weights, forget_bias: float | None = None) -> None:
        super().init_released_(weights, forget_bias)
        nn.init.uniform_(weights.w_ih, -0.01, 0.01)
