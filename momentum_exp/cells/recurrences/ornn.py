"""oRNN: an orthogonal RNN by Householder reflections."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from momentum_exp.cells.checks import require, require_count
from momentum_exp.cells.constraints.householder import Householder
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


@dataclass(frozen=True)
class ORNN(Recurrence):
    """pre = u + U h + b_hh ; h = max(pre / 10, pre) ; U = H(v_1) .. H(v_m), H(v) = 1 - 2 v v^T / |v|^2.

    Source: Mhammedi, Hellicar, Rahman and Bailey, Efficient orthogonal parametrisation of recurrent neural networks
    using Householder reflections, 2017, and its released code (zmhammedi/Orthogonal_RNN). There the cell has one
    bias (here b_ih in the drive and b_hh) and h_0 is learned (here it is zero). Init `released` is that code's: W_ih
    Glorot uniform, biases 0, Gaussian v_j (the paper draws them uniformly). It trains everything with one Adam,
    without clipping.

    reflections: m, 1 to H; None: H, which reaches every orthogonal matrix. det U = (-1)^m for m < H.
    """

    name: ClassVar[str] = "ornn"
    gate_blocks: ClassVar[int] = 1
    reflections: int | None = None

    def __post_init__(self) -> None:
        if self.reflections is not None:
            require_count("reflections", self.reflections, 1)

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        pre_BG = u_BG + F.linear(state["h"], weights.w_hh, weights.b_hh)
        return pre_BG, {"h": F.leaky_relu(pre_BG, 0.1)}

    def constraint(self, hidden_size: int) -> Householder:
        m = hidden_size if self.reflections is None else self.reflections
        require(m <= hidden_size, "reflections", m, f"1 <= reflections <= hidden_size={hidden_size}")
        return Householder(hidden_size, m)

    def init_released_(self, weights: Weights, forget_bias: float | None = None) -> None:
        super().init_released_(weights, forget_bias)
        nn.init.xavier_uniform_(weights.w_ih)
