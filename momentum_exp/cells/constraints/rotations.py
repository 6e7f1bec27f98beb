"""Unitary matrices as layers of rotations, each of two coordinates."""

import math

import torch
from torch import Tensor, nn

from momentum_exp.cells.constraints.base import Constraint
from momentum_exp.cells.constraints.fourier import phases


class Rotations(Constraint):
    """U = D F_L .. F_1 (H, H) ; D = diag(exp(i omega)) ; F_l turns disjoint pairs of coordinates a < b, each by

        (F z)_a = cos(theta) z_a - exp(i phi) sin(theta) z_b
        (F z)_b = sin(theta) z_a + exp(i phi) cos(theta) z_b

    with a theta and a phi of its own, and leaves the others alone.

    layers: the pairs (a, b) of F_1, F_2, .., see `neighbours` and `butterflies`. Initial values, as in the first
    released code of Jing et al. 2017: theta, phi, omega ~ U(-pi, pi).
    """

    def __init__(self, size: int, layers: list[list[tuple[int, int]]]) -> None:
        super().__init__()
        self.size = size
        pairs = torch.tensor([(place, a, b) for place, pairs in enumerate(layers) for a, b in pairs])
        place_R, a_R, b_R = pairs.view(-1, 3).long().unbind(1)
        partner_LH = torch.arange(size).repeat(len(layers), 1)
        partner_LH[place_R, a_R], partner_LH[place_R, b_R] = b_R, a_R
        self.theta = nn.Parameter(torch.empty(len(pairs)))
        self.phi = nn.Parameter(torch.empty(len(pairs)))
        self.omega = nn.Parameter(torch.empty(size))
        self.partner_LH: Tensor
        self.rows: Tensor
        self.columns: Tensor
        self.register_buffer("partner_LH", partner_LH, persistent=False)
        self.register_buffer("rows", place_R.repeat(2), persistent=False)
        self.register_buffer("columns", torch.cat([a_R, b_R]), persistent=False)
        self.reset_parameters()

    def forward(self) -> Tensor:
        turn, cos, sin = phases(self.phi), self.theta.cos(), self.theta.sin()
        one_HH = torch.eye(self.size, dtype=turn.dtype, device=turn.device)
        own_LH = torch.ones_like(self.partner_LH, dtype=turn.dtype)
        other_LH = torch.zeros_like(own_LH)
        where = (self.rows, self.columns)
        own_LH = own_LH.index_put(where, torch.cat([cos, turn * cos]))
        other_LH = other_LH.index_put(where, torch.cat([-turn * sin, sin]))
        u_HH = one_HH
        for own_H, other_H, partner_H in zip(own_LH, other_LH, self.partner_LH, strict=True):
            u_HH = own_H[:, None] * u_HH + other_H[:, None] * u_HH[partner_H]
        return phases(self.omega)[:, None] * u_HH

    def extra_repr(self) -> str:
        return f"{self.size}, layers={len(self.partner_LH)}"

    @torch.no_grad()
    def reset_parameters(self) -> None:
        for angle in self.parameters():
            angle.uniform_(-math.pi, math.pi)


def neighbours(size: int, layers: int) -> list[list[tuple[int, int]]]:
    """Pairs (0, 1), (2, 3), .. and in every second layer (1, 2), (3, 4), ..: with `size` layers all of U(H)."""
    return [[(a, a + 1) for a in range(layer % 2, size - 1, 2)] for layer in range(layers)]


def butterflies(size: int) -> list[list[tuple[int, int]]]:
    """Pairs at distance H/2, H/4, .., 1, as in a fast Fourier transform; H is a power of two."""
    distances = [2**k for k in reversed(range(size.bit_length() - 1))]
    return [[(a, a + d) for a in range(size) if not a & d] for d in distances]
