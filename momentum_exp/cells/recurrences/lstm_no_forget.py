"""The LSTM without a forget gate, as the paper writes it."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


@dataclass(frozen=True)
class LSTMNoForget(Recurrence):
    """pre = u + U h + b_hh ; c = c + i g ; h = o tanh(c). Gate order i, g, o.

    Source: the paper's equation (2); Hochreiter and Schmidhuber 1997, whose squashing functions are logistic ones
    scaled to (-2, 2) for g and (-1, 1) for c. The released code trains the LSTM with a forget gate instead.
    """

    name: ClassVar[str] = "lstm_no_forget"
    gate_blocks: ClassVar[int] = 3
    states: ClassVar[tuple[str, ...]] = ("h", "c")

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        pre_BG = u_BG + F.linear(state["h"], weights.w_hh, weights.b_hh)
        i_BH, g_BH, o_BH = pre_BG.chunk(3, 1)
        c_BH = state["c"] + i_BH.sigmoid() * g_BH.tanh()
        return pre_BG, {"h": o_BH.sigmoid() * c_BH.tanh(), "c": c_BH}

    def gates(self, pre_BG: Tensor) -> dict[str, Tensor]:
        i_BH, _, o_BH = pre_BG.chunk(3, 1)
        return {"i": i_BH.sigmoid(), "o": o_BH.sigmoid()}
