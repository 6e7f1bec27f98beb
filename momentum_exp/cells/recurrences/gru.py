"""The GRU: gate order r, z, n and two biases, as torch.nn.GRU."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.recurrences.kernels import run_kernel
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


@dataclass(frozen=True)
class GRU(Recurrence):
    """r, z = sigmoid(u + U h + b_hh) ; n = tanh(u_n + r (U_n h + b_hn)) ; h = (1 - z) n + z h.

    Source: Cho et al. 2014, arXiv 1406.1078v1, with torch.nn.GRU's biases; b_hn is inside the product with r. The
    published version of that paper resets before the matrix instead, n = tanh(u_n + U_n (r h)). The drive u_n is
    outside the product with r.

    The release has this cell without momentum (ptb/momentumnet.py), in no command. It starts the reset gate's
    slice of both biases at 1, as it does an LSTM's forget gate; so `forget_bias` goes to r.
    """

    name: ClassVar[str] = "gru"
    gate_blocks: ClassVar[int] = 3
    forget_block: ClassVar[int | None] = 0

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        u_r_BH, u_z_BH, u_n_BH = u_BG.chunk(3, 1)
        h_r_BH, h_z_BH, h_n_BH = F.linear(state["h"], weights.w_hh, weights.b_hh).chunk(3, 1)
        r_BH, z_BH = u_r_BH + h_r_BH, u_z_BH + h_z_BH
        n_BH = u_n_BH + r_BH.sigmoid() * h_n_BH
        h_BH = n_BH.tanh() + z_BH.sigmoid() * (state["h"] - n_BH.tanh())
        return torch.cat([r_BH, z_BH, n_BH], 1), {"h": h_BH}

    def gates(self, pre_BG: Tensor) -> dict[str, Tensor]:
        r_BH, z_BH, _ = pre_BG.chunk(3, 1)
        return {"r": r_BH.sigmoid(), "z": z_BH.sigmoid()}

    def fused(
        self,
        x_TBD: Tensor,
        state: Tensors,
        weights: Weights,
        lengths_B: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        y_TBH, h_1BH = run_kernel(torch.gru, x_TBD, state["h"][None], weights, lengths_B)
        return y_TBH, {"h": h_1BH[0]}
