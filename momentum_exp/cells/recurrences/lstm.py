"""The LSTM: with a forget gate, no peepholes, gate order i, f, g, o and two biases, as torch.nn.LSTM."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.recurrences.kernels import run_kernel
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


def lstm_update(pre_BG: Tensor, c_BH: Tensor) -> tuple[Tensor, Tensor]:
    """c = f c + i g ; h = o tanh(c) from the four gates' pre-activations. Returns h and c."""
    i_BH, f_BH, g_BH, o_BH = pre_BG.chunk(4, 1)
    c_BH = f_BH.sigmoid() * c_BH + i_BH.sigmoid() * g_BH.tanh()
    return o_BH.sigmoid() * c_BH.tanh(), c_BH


def lstm_gates(pre_BG: Tensor) -> dict[str, Tensor]:
    """The values of the input, forget and output gate."""
    i_BH, f_BH, _, o_BH = pre_BG.chunk(4, 1)
    return {"i": i_BH.sigmoid(), "f": f_BH.sigmoid(), "o": o_BH.sigmoid()}


@dataclass(frozen=True)
class LSTM(Recurrence):
    """pre = u + U h + b_hh ; c = f c + i g ; h = o tanh(c).

    Source: Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000, in torch's form; so in the
    released code. Equation (2) of the paper writes the cell without its forget gate (`lstm_no_forget`).
    """

    name: ClassVar[str] = "lstm"
    gate_blocks: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    forget_block: ClassVar[int | None] = 1

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        pre_BG = u_BG + F.linear(state["h"], weights.w_hh, weights.b_hh)
        h_BH, c_BH = lstm_update(pre_BG, state["c"])
        return pre_BG, {"h": h_BH, "c": c_BH}

    def gates(self, pre_BG: Tensor) -> dict[str, Tensor]:
        return lstm_gates(pre_BG)

    def fused(
        self,
        x_TBD: Tensor,
        state: Tensors,
        weights: Weights,
        lengths_B: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        y_TBH, h_1BH, c_1BH = run_kernel(torch.lstm, x_TBD, (state["h"][None], state["c"][None]), weights, lengths_B)
        return y_TBH, {"h": h_1BH[0], "c": c_1BH[0]}
