"""Matrices whose singular values stay near 1."""

import torch
from torch import Tensor, nn

from momentum_exp.cells.constraints.base import Constraint
from momentum_exp.cells.constraints.exponential import Exponential


class SpectralMargin(Constraint):
    """W = L diag(s) R^T with orthogonal L, R and s = 1 + 2 margin (sigmoid(p) - 1/2), used as W h.

    Every singular value lies in [1 - margin, 1 + margin]; with margin 0 there is no p and W is orthogonal. L and R
    are kept orthogonal by trivialization, re-based after every optimizer step (constraints themselves, they do it
    without help from here). Then a step of gradient descent of size lr on their free entries takes L to
    expm(-lr (G L^T - L G^T)) L, G the gradient of L: up to order lr^3 the Cayley step along a geodesic of
    Vorontsov et al. 2017. p starts at 0, L and R as random orthogonal matrices.
    """

    def __init__(self, size: int, margin: float) -> None:
        super().__init__()
        self.size, self.margin = size, margin
        self.left = Exponential(size, "cayley", rebase=1)
        self.right = Exponential(size, "cayley", rebase=1)
        self.p = nn.Parameter(torch.empty(size)) if margin else None
        self.reset_parameters()

    def forward(self) -> Tensor:
        left_HH, right_HH = self.left(), self.right()
        if self.p is not None:
            left_HH = left_HH * (1 + 2 * self.margin * (self.p.sigmoid() - 0.5))
        weight_HH: Tensor = left_HH @ right_HH.mT
        return weight_HH

    def extra_repr(self) -> str:
        return f"{self.size}, margin={self.margin}"

    @torch.no_grad()
    def reset_parameters(self) -> None:
        for side in (self.left, self.right):
            side.reset_parameters()
            nn.init.orthogonal_(side.base)
        if self.p is not None:
            nn.init.zeros_(self.p)
