"""What the orthogonal and unitary cells share: a constrained recurrent weight under modReLU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


def modrelu(z: Tensor, b: Tensor) -> Tensor:
    """z / |z| relu(|z| + b); 0 at z = 0, with slope 0 there (Arjovsky et al. 2016).

    For complex z the phase is z / (|z| + 1e-5), as in their code: its slope is bounded where that of z / |z| is not.
    What is too small for |z|^2 to be a normal number (|z| < 1e-19 in float32) counts as 0. The slope of their
    formula at 0, 1e5 relu(b), would multiply the gradient in every step that h stays 0 for: a black margin is
    enough to overflow. Their h_0 is learned and not 0.
    """
    if not z.is_complex():
        return z.sgn() * F.relu(z.abs() + b)
    square = z.real.square() + z.imag.square()
    tiny = torch.finfo(square.dtype).tiny
    modulus = square.clamp_min(tiny).sqrt()
    return z * torch.where(square >= tiny, F.relu(modulus + b) / (modulus + 1e-5), 0.0)


class ModReLU(Recurrence):
    """pre = u + U h ; h = modReLU(pre, b). No other bias; U comes from a constraint."""

    gate_blocks = 1
    biased = False

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        pre_BG = u_BG + F.linear(state["h"], weights.w_hh)
        return pre_BG, {"h": modrelu(pre_BG, weights.extra["bias_modrelu"])}

    def extra_shapes(self, hidden_size: int) -> dict[str, tuple[int, ...]]:
        return {"bias_modrelu": (hidden_size,)}

    def init_released_(self, weights: Weights, forget_bias: float | None = None) -> None:
        """W_ih as Kaiming He's for relu, b ~ U(-0.01, 0.01) (released code, mnist-timit/orthogonal.py)."""
        nn.init.kaiming_normal_(weights.w_ih, nonlinearity="relu")
        self.init_extra_(weights)

    @torch.no_grad()
    def init_extra_(self, weights: Weights) -> None:
        weights.extra["bias_modrelu"].uniform_(-0.01, 0.01)
