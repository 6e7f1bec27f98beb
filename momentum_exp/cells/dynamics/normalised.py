"""The normalised filter: the drive divided by the root of a running average of squares. No bias correction.

The constant eps is a choice by name. `released`: u = v / sqrt(m + 1e-16), as in the released code. `paper`:
u = v / (sqrt(m) + 1e-8), as printed. At g = 0, m = 0 either way du/dg is about s 1e8: where input and b_ih are
zero, the gradient of b_ih dwarfs all others. Where nothing else enters (D = 1, b_ih = 0) u does not depend on the
scale of W at all: the true gradient of W_ih is then near zero, and in float32 mostly rounding.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from momentum_exp.cells.checks import require_beta, require_mu, require_s, require_word
from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.state import Tensors


def square(g_BG: Tensor) -> Tensor:
    """|g|^2, real."""
    return g_BG.real.square() + g_BG.imag.square() if g_BG.is_complex() else g_BG * g_BG


def over_root(v_BG: Tensor, m_BG: Tensor, eps: str) -> Tensor:
    """v over the root of m, with the small constant placed as `eps` names it."""
    if eps == "released":
        return v_BG * torch.rsqrt(m_BG + 1e-16)
    # The clamp gives the root slope 0 at m = 0, where autograd would multiply infinity by zero.
    return v_BG / (m_BG.clamp_min(torch.finfo(m_BG.dtype).tiny).sqrt() + 1e-8)


@dataclass(frozen=True)
class RMSProp(Dynamics):
    """m = beta m + (1-beta) g^2 ; u = s g / sqrt(m + eps): adam with mu = 0.

    Source: the paper, section 3; the released code, which runs its Adam cell with mu = 0.
    s: step size, s > 0. beta: running average, 0 <= beta < 1 (called mus in the released code).
    eps: `released` or `paper`, see above.
    """

    name: ClassVar[str] = "rmsprop"
    states: ClassVar[tuple[str, ...]] = ("m",)
    s: float = 0.6
    beta: float = 0.9
    eps: str = "released"

    def __post_init__(self) -> None:
        require_s(self.s)
        require_beta(self.beta)
        require_word("eps", self.eps, ("released", "paper"))

    def step(self, g_BG: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
        m_BG = self.beta * state["m"] + (1 - self.beta) * square(g_BG)
        return over_root(self.s * g_BG, m_BG, self.eps), {"m": m_BG}


@dataclass(frozen=True)
class Adam(Dynamics):
    """v = mu v + s g ; m = beta m + (1-beta) g^2 ; u = v / sqrt(m + eps).

    Source: the paper, section 3; the released code, which puts eps inside the root. Neither corrects the bias.
    mu: momentum, 0 <= mu < 1. s: step size, s > 0. beta: running average, 0 <= beta < 1.
    eps: `released` or `paper`, see above.
    """

    name: ClassVar[str] = "adam"
    states: ClassVar[tuple[str, ...]] = ("v", "m")
    mu: float = 0.6
    s: float = 0.6
    beta: float = 0.1
    eps: str = "released"

    def __post_init__(self) -> None:
        require_mu(self.mu)
        require_s(self.s)
        require_beta(self.beta)
        require_word("eps", self.eps, ("released", "paper"))

    def step(self, g_BG: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
        v_BG = self.mu * state["v"] + self.s * g_BG
        m_BG = self.beta * state["m"] + (1 - self.beta) * square(g_BG)
        return over_root(v_BG, m_BG, self.eps), {"v": v_BG, "m": m_BG}
