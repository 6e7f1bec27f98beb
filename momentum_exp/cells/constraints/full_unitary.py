"""All unitary matrices: the Cayley map of a skew-Hermitian one, from a base that follows."""

import math

import torch
from torch import Tensor, nn

from momentum_exp.cells.constraints.base import Constraint
from momentum_exp.cells.constraints.fourier import FourierProduct


class FullUnitary(Constraint):
    """W = (1 + Z/2)^-1 (1 - Z/2) base ; Z = (X - X^T + i (X + X^T)) / sqrt(2) ; X (H, H) real and free.

    Z runs through all skew-Hermitian matrices: H^2 degrees of freedom, as many as the unitary matrices have. After
    every optimizer step base becomes W and X zero (a dynamic trivialization with K = 1), and at every `project`-th
    step base becomes the nearest unitary matrix, by its singular value decomposition. Initial base: a
    `FourierProduct` with its own initial values.

    With plain SGD on X at the learning rate lr this is the multiplicative update of Wisdom et al. 2016,

        W <- (1 + lr/2 A)^-1 (1 - lr/2 A) W ,   A = G W^H - W G^H ,   G = dL/d(Re W) + i dL/d(Im W) ,

    for dL/dX = -(Re A + Im A) / sqrt(2) at X = 0, so that the step puts Z at lr A. It follows that the norm that
    gradient clipping sees is |dL/dX| = |A| / sqrt(2). RMSprop on X is not the source's `natGradRMS`. Here the
    entries of Re A + Im A are divided by their root mean square over time, in coordinates that turn with the base;
    there those of Re G and Im G, in fixed coordinates, before A is formed.
    """

    def __init__(self, size: int, project: int = 100) -> None:
        super().__init__()
        self.size, self.project = size, project
        self.X = nn.Parameter(torch.empty(size, size))
        self.base: Tensor  # real and imaginary parts: a module's `to(dtype)` drops those of complex buffers
        self.steps: Tensor
        self.register_buffer("base", torch.empty(size, size, 2))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.reset_parameters()

    def forward(self) -> Tensor:
        base = torch.view_as_complex(self.base)
        half = torch.complex(self.X - self.X.mT, self.X + self.X.mT) / math.sqrt(8)
        one = torch.eye(self.size, dtype=base.dtype, device=base.device)
        w: Tensor = torch.linalg.solve(one + half, base - half @ base)
        return w

    def extra_repr(self) -> str:
        return f"{self.size}, project={self.project}"

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.base.copy_(torch.view_as_real(FourierProduct(self.size).to(self.base)()))
        self.X.zero_()
        self.steps.zero_()

    @torch.no_grad()
    def after_step(self) -> None:
        w = self()
        self.steps += 1
        if self.steps % self.project == 0:
            u, _, vh = torch.linalg.svd(w)
            w = u @ vh
        self.base.copy_(torch.view_as_real(w))
        self.X.zero_()
