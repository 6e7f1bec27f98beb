"""Orthogonal matrices by the Cayley transform of a skew-symmetric one, scaled by signs."""

import torch
from torch import Tensor, nn

from momentum_exp.cells.constraints.base import Constraint
from momentum_exp.cells.constraints.skew import skew, skew_entries


class ScaledCayley(Constraint):
    """B = (1 + S)^-1 (1 - S) D, used as h @ B; S = A - A^T, D = diag(1, .., 1, -1, .., -1) with `negative` -1s.

    A is strictly upper triangular, its H (H - 1) / 2 entries are free. The transform alone reaches no rotation with
    an eigenvalue -1, and A grows without bound on the way there; D, which stays as it is, moves that gap elsewhere
    (Helfrich, Willmott and Ye 2018; released code, scoRNN.py). In the release A is a full matrix that its gradient
    keeps skew-symmetric: entry by entry the gradient is the one here.
    """

    def __init__(self, size: int, negative: int) -> None:
        super().__init__()
        self.size, self.negative = size, negative
        self.A = nn.Parameter(torch.empty(size * (size - 1) // 2))
        self.signs: Tensor
        self.register_buffer("signs", torch.ones(size), persistent=False)
        self.signs[size - negative :] = -1
        self.reset_parameters()

    def forward(self) -> Tensor:
        skew_HH = skew(self.A, self.size)
        one_HH = torch.eye(self.size, dtype=skew_HH.dtype, device=skew_HH.device)
        b_HH: Tensor = torch.linalg.solve(one_HH + skew_HH, one_HH - skew_HH) * self.signs
        return b_HH.mT

    def extra_repr(self) -> str:
        return f"{self.size}, negative={self.negative}"

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """2 x 2 blocks: rotations by angles ~ U(0, pi/2)."""
        self.A.copy_(skew_entries(self.size, "cayley"))
