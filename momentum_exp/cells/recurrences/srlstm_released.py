"""The SRLSTM that the released MNIST and TIMIT commands run: not the cell that the paper describes."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells.checks import require_restart, require_s
from momentum_exp.cells.dynamics.linear import nesterov_schedule
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.recurrences.lstm import lstm_gates, lstm_update
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


@dataclass(frozen=True)
class SRLSTMReleased(Recurrence):
    """y_t = U h + b_hh - s u ; pre = y_t + mu_k (y_t - y_{t-1}) ; then the LSTM. y_0 = 0, mu_k as nesterov's.

    Source: the released code, mnist-timit/momentumnet.py (`-m nlstm`): Nesterov's extrapolation of the whole
    pre-activation, with a minus sign before the input. It depends on h, so it is a recurrence and takes the plain
    input. The paper's SR cell is the LSTM with `nesterov` dynamics and a restart.

    s: step size, s > 0. restart: F >= 0, where 0 means no restart.
    """

    name: ClassVar[str] = "srlstm_released"
    gate_blocks: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h", "c", "y", "k")
    forget_block: ClassVar[int | None] = 1
    dynamics: ClassVar[tuple[str, ...]] = ("identity",)
    s: float = 1.0
    restart: int = 2

    def __post_init__(self) -> None:
        require_s(self.s)
        require_restart(self.restart)

    def initial_state(self, x_BD: Tensor, hidden_size: int) -> dict[str, Tensor]:
        h_BH = x_BD.new_zeros(x_BD.shape[0], hidden_size)
        y_BG = x_BD.new_zeros(x_BD.shape[0], self.gate_blocks * hidden_size)
        k_B = torch.zeros(x_BD.shape[0], dtype=torch.int64, device=x_BD.device)
        return {"h": h_BH, "c": h_BH, "y": y_BG, "k": k_B}

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        k_B, mu_B1 = nesterov_schedule(state["k"], self.restart, u_BG.dtype)
        y_BG = F.linear(state["h"], weights.w_hh, weights.b_hh) - self.s * u_BG
        pre_BG = y_BG + mu_B1 * (y_BG - state["y"])
        h_BH, c_BH = lstm_update(pre_BG, state["c"])
        return pre_BG, {"h": h_BH, "c": c_BH, "y": y_BG, "k": k_B}

    def gates(self, pre_BG: Tensor) -> dict[str, Tensor]:
        return lstm_gates(pre_BG)
