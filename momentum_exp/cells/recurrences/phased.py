"""The phased LSTM: each unit is open for a part of its own period, by a clock that reads time stamps."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from momentum_exp.cells.checks import require
from momentum_exp.cells.dynamics.base import widened
from momentum_exp.cells.recurrences.peephole import Peephole
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


def time_gate(time_B: Tensor, period_H: Tensor, shift_H: Tensor, r_on: float, leak: float) -> Tensor:
    """k (B, H): 0 to 1 and back to 0 over the first `r_on` of a period, leak * phase over the rest."""
    turns_BH = (time_B[:, None] - shift_H) / period_H
    phase_BH = turns_BH - turns_BH.floor()
    return torch.where(phase_BH < r_on, 1 - (2 * phase_BH / r_on - 1).abs(), leak * phase_BH)


@dataclass(frozen=True)
class Phased(Peephole):
    """(h~, c~) = peephole LSTM of (h, c) and u ; c = k c~ + (1 - k) c ; h = k h~ + (1 - k) h.

        phase = ((t - shift) mod period) / period
        k = 2 phase / r_on             where phase < r_on / 2
        k = 2 - 2 phase / r_on         where r_on / 2 <= phase < r_on
        k = leak * phase               elsewhere

    Source: Neil, Pfeiffer and Liu 2016, and their released code. t is the step's time stamp, by default its number
    from 0; the momentum cell accelerates u, never t. The state `time` (B,) is the stamp of the coming step, the last
    one plus 1, in float32 at least. Each unit learns its period, the exponential of `log_period`, and its `shift`.
    Periods start log-uniform in (e, e^5), that is 2.7 to 148 steps, and shifts uniform in (0, period): the
    authors' advice for standard tasks. Peepholes as in `peephole`.

    The authors' code adds the shift where the paper takes it off, learns r_on by an option (it drifts to 1, they
    say) and sets leak to 0 in evaluation; here r_on is fixed and leak stays. The release has no such cell.

    r_on: open share of a period, 0 < r_on <= 1. leak: 0 <= leak < 1.
    """

    name: ClassVar[str] = "phased"
    states: ClassVar[tuple[str, ...]] = ("h", "c", "time")
    r_on: float = 0.05
    leak: float = 0.001

    def __post_init__(self) -> None:
        require(0 < self.r_on <= 1, "r_on", self.r_on, "0 < r_on <= 1")
        require(0 <= self.leak < 1, "leak", self.leak, "0 <= leak < 1")

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        pre_BG, proposed = super().step(u_BG, state, weights)
        log_period_H, shift_H = weights.extra["log_period"], weights.extra["shift"]
        period_H = log_period_H.to(widened(log_period_H.dtype)).exp()
        k_BH = time_gate(state["time"], period_H, shift_H, self.r_on, self.leak).to(state["c"].dtype)
        mixed = {name: k_BH * tensor + (1 - k_BH) * state[name] for name, tensor in proposed.items()}
        return pre_BG, {**mixed, "time": state["time"] + 1}

    def initial_state(self, x_BD: Tensor, hidden_size: int) -> dict[str, Tensor]:
        time_B = x_BD.new_zeros(x_BD.shape[0], dtype=widened(x_BD.dtype))
        return {**super().initial_state(x_BD, hidden_size), "time": time_B}

    def extra_shapes(self, hidden_size: int) -> dict[str, tuple[int, ...]]:
        return {**super().extra_shapes(hidden_size), "log_period": (hidden_size,), "shift": (hidden_size,)}

    @torch.no_grad()
    def init_extra_(self, weights: Weights) -> None:
        super().init_extra_(weights)
        log_period_H = weights.extra["log_period"].uniform_(1, 5)
        weights.extra["shift"].uniform_(0, 1).mul_(log_period_H.exp())
