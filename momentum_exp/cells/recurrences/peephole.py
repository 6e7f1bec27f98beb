"""The LSTM whose gates see the cell state."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.recurrences.lstm import lstm_gates
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


@dataclass(frozen=True)
class Peephole(Recurrence):
    """i, f = sigmoid(pre + p c_{t-1}) ; g = tanh(pre) ; c = f c + i g ; o = sigmoid(pre + p c_t) ; h = o tanh(c).

    pre = u + U h + b_hh in gate order i, f, g, o, as the LSTM's; `weight_peephole` (3, H) holds p of i, f and o.
    Source: Gers and Schmidhuber 2000 (in full: Gers, Schraudolph and Schmidhuber 2002).

    The source puts out h = o c, without the tanh, which is usual since Graves 2013, and lets no gradient flow
    back through the peepholes; here it is complete. The release has no such cell. The peepholes start from
    N(0, 0.1^2), as in the released code of the phased LSTM.
    """

    name: ClassVar[str] = "peephole"
    gate_blocks: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    forget_block: ClassVar[int | None] = 1

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        p_i_H, p_f_H, p_o_H = weights.extra["weight_peephole"]
        i_BH, f_BH, g_BH, o_BH = (u_BG + F.linear(state["h"], weights.w_hh, weights.b_hh)).chunk(4, 1)
        i_BH, f_BH = i_BH + p_i_H * state["c"], f_BH + p_f_H * state["c"]
        c_BH = f_BH.sigmoid() * state["c"] + i_BH.sigmoid() * g_BH.tanh()
        o_BH = o_BH + p_o_H * c_BH
        return torch.cat([i_BH, f_BH, g_BH, o_BH], 1), {"h": o_BH.sigmoid() * c_BH.tanh(), "c": c_BH}

    def gates(self, pre_BG: Tensor) -> dict[str, Tensor]:
        return lstm_gates(pre_BG)

    def extra_shapes(self, hidden_size: int) -> dict[str, tuple[int, ...]]:
        return {"weight_peephole": (3, hidden_size)}

    def init_extra_(self, weights: Weights) -> None:
        nn.init.normal_(weights.extra["weight_peephole"], std=0.1)
