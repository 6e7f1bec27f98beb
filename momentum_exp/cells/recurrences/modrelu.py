"""What the orthogonal and unitary cells share: a constrained recurrent weight under modReLU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


def modrelu(z: Tensor, b: Tensor) -> Tensor:
    """z / |z| relu(|z| + b), real or complex; 0 at z = 0, with slope 0 there (Arjovsky et al. 2016)."""
    return z.sgn() * F.relu(z.abs() + b)


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
