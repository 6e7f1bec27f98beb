"""Orthogonal matrices as the exponential of a skew-symmetric one, from a base that may move."""

import torch
from torch import Tensor, nn

from momentum_exp.cells.constraints.base import Constraint
from momentum_exp.cells.constraints.skew import skew, skew_entries
from momentum_exp.cells.constraints.skew_exponential import skew_exponential


class Exponential(Constraint):
    """B = base expm(A - A^T), used as h @ B; A strictly upper triangular, its H (H - 1) / 2 entries are free.

    trivialized False (expRNN, Lezcano-Casado and Martinez-Rubio 2019): base = 1 for good, A starts at `init`.
    True (DTRIV, Lezcano-Casado 2019, as in the released code): base starts at expm of `init` and A at 0; after
    every `rebase` optimizer steps (K; 0: never, the release's "infty") base becomes B and A zero, and at every
    `project`-th re-basing base becomes the nearest orthogonal matrix, by its singular value decomposition.

    The release re-bases on the first forward pass, to the same base. But there the gradient of that first step
    is taken at the old A with the new base already in place (base^T dL/dB through expm's derivative at A's start):
    a slip of one step, not repeated here. It also counts
    that first re-basing towards `project`. With K = 1 it slips by the last update of A at each step, which is small.
    """

    def __init__(self, size: int, init: str, trivialized: bool = True, rebase: int = 0, project: int = 100) -> None:
        super().__init__()
        self.size, self.init, self.trivialized, self.rebase, self.project = size, init, trivialized, rebase, project
        self.A = nn.Parameter(torch.empty(size * (size - 1) // 2))
        self.base: Tensor
        self.steps: Tensor
        if trivialized:
            self.register_buffer("base", torch.empty(size, size))
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.reset_parameters()

    def forward(self) -> Tensor:
        rotation = skew_exponential(skew(self.A, self.size))
        return (self.base @ rotation if self.trivialized else rotation).mT

    def extra_repr(self) -> str:
        rebase = f", rebase={self.rebase}, project={self.project}" if self.trivialized else ""
        return f"{self.size}, {self.init}, trivialized={self.trivialized}{rebase}"

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.A.copy_(skew_entries(self.size, self.init))
        if self.trivialized:
            self.base.copy_(skew_exponential(skew(self.A, self.size)))
            self.A.zero_()
            self.steps.zero_()

    @torch.no_grad()
    def after_step(self) -> None:
        if not self.trivialized or not self.rebase:
            return
        self.steps += 1
        if self.steps % self.rebase == 0:
            self.base.copy_(self().mT)
            self.A.zero_()
            if self.steps % (self.rebase * self.project) == 0:
                u, _, vh = torch.linalg.svd(self.base)
                self.base.copy_(u @ vh)
