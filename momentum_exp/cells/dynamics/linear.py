"""The linear filter in time: v_t = mu_k v_{t-1} + s g_t ; u_t = v_t.

Being linear, it commutes with the input weights: filter x instead of W x. Engines rely on that.
Released code: momentum in MomentumLSTM; the paper's Nesterov form in ptb/momentumnet.py and
mnist-timit/orthogonal.py (the MNIST and TIMIT recipes run another cell, see recurrences/srlstm_released.py).
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from momentum_exp.cells.checks import require_mu, require_restart, require_s
from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.state import Tensors


class Linear(Dynamics):
    """A dynamics that is linear in g, with coefficients mu_k that do not depend on the unit."""

    @property
    @abstractmethod
    def s(self) -> float:
        """Step size."""

    @property
    @abstractmethod
    def memoryless(self) -> bool:
        """Whether every mu_k is 0, so that the drive is s g."""

    @abstractmethod
    def coefficients(self, state: Tensors, steps: int, like: Tensor) -> tuple[Tensor, Tensors]:
        """Of the `steps` that follow `state`: mu_k, (T, B, 1) or (T, 1, 1), of like's kind; and k, (T, B)."""


@dataclass(frozen=True)
class Identity(Linear):
    """u = g: the plain cell. Source: the paper, equation (1)."""

    name: ClassVar[str] = "identity"
    s = 1.0
    memoryless = True

    def coefficients(self, state: Tensors, steps: int, like: Tensor) -> tuple[Tensor, Tensors]:
        return like.new_zeros(steps, 1, 1), {}

    def step(self, g_BG: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
        return g_BG, state

    def unroll(
        self, g_TBG: Tensor, state: Tensors | None = None, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, Tensors]:
        return g_TBG, {}


@dataclass(frozen=True)
class Momentum(Linear):
    """v = mu v + s g ; u = v. (mu 0, s 1) is the plain cell, (mu 0, s) its control.

    Source: the paper, section 2, where g is W x; the released code, followed here, has g = W x + b_ih.
    mu: momentum, 0 <= mu < 1. s: step size, s > 0 (called epsilon in the released code).
    """

    name: ClassVar[str] = "momentum"
    states: ClassVar[tuple[str, ...]] = ("v",)
    mu: float = 0.6
    s: float = 0.6

    def __post_init__(self) -> None:
        require_mu(self.mu)
        require_s(self.s)

    @property
    def memoryless(self) -> bool:
        return self.mu == 0

    def coefficients(self, state: Tensors, steps: int, like: Tensor) -> tuple[Tensor, Tensors]:
        return like.new_full((steps, 1, 1), self.mu), {}

    def step(self, g_BG: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
        v_BG = self.s * g_BG + self.mu * state["v"]
        return v_BG, {"v": v_BG}


def nesterov_schedule(k: Tensor, restart: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The step number after k, 1, 2, .., F, 1, .. (F = restart, 0: none), and its mu_k = (k-1)/(k+2), (.., 1)."""
    k = k % restart + 1 if restart else k + 1
    wide = k.to(dtype).unsqueeze(-1)
    return k, (wide - 1) / (wide + 2)


@dataclass(frozen=True)
class Nesterov(Linear):
    """v = mu_k v + s g ; u = v ; mu_k = (k-1)/(k+2) ; k = k mod F + 1, or k + 1 where F = 0.

    So k is 1, 2, .., F, 1, .. (F = restart). Source: the paper, section 3, its NAG cell, and its SR cell (scheduled
    restart) with F > 0; there mu is written (t mod F)/((t mod F)+3), the same numbers but for a shift of the index.
    s: step size, s > 0. restart: F >= 0, where 0 means no restart.
    reset_k_per_segment: k starts at 1 in each call although v is carried, as in the released PTB code.
    """

    name: ClassVar[str] = "nesterov"
    states: ClassVar[tuple[str, ...]] = ("v", "k")
    s: float = 1.0
    restart: int = 0
    reset_k_per_segment: bool = False

    def __post_init__(self) -> None:
        require_s(self.s)
        require_restart(self.restart)

    @property
    def memoryless(self) -> bool:
        return self.restart == 1

    def resume(self, state: Tensors) -> Tensors:
        return {**state, "k": torch.zeros_like(state["k"])} if self.reset_k_per_segment else state

    def coefficients(self, state: Tensors, steps: int, like: Tensor) -> tuple[Tensor, Tensors]:
        before_TB = state["k"] + torch.arange(steps, device=like.device)[:, None]
        k_TB, mu_TB1 = nesterov_schedule(before_TB, self.restart, like.dtype)
        return mu_TB1, {"k": k_TB}

    def step(self, g_BG: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
        k_B, mu_B1 = nesterov_schedule(state["k"], self.restart, g_BG.dtype)
        v_BG = torch.addcmul(self.s * g_BG, mu_B1, state["v"])
        return v_BG, {"v": v_BG, "k": k_B}
