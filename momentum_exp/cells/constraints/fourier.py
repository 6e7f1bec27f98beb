"""Unitary matrices as a product of seven cheap ones: phases, reflections, a permutation, Fourier transforms."""

import math

import torch
from torch import Tensor, nn

from momentum_exp.cells.constraints.base import Constraint


class FourierProduct(Constraint):
    """U = D3 R2 F^-1 D2 P R1 F D1 (H, H), unitary for any value of its 7 H free real numbers.

    D_k = diag(exp(i theta_k)). R_k = 1 - 2 v_k v_k^H / |v_k|^2, v_k complex. F is the discrete Fourier transform,
    F_jk = exp(-2 pi i j k / H) / sqrt(H). P is a permutation drawn once: (P z)_j = z_p(j).

    theta (3, H); v (2, H, 2), the last axis its real and imaginary part; permutation p (H,), a buffer. Initial
    values as in Arjovsky et al. 2016: theta ~ U(-pi, pi), parts of v ~ U(-1, 1).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.empty(3, size))
        self.v = nn.Parameter(torch.empty(2, size, 2))
        self.permutation: Tensor
        self.register_buffer("permutation", torch.empty(size, dtype=torch.int64))
        self.reset_parameters()

    def forward(self) -> Tensor:
        d1, d2, d3 = phases(self.theta)
        v1, v2 = torch.view_as_complex(self.v)
        inner = reflected(v1, torch.fft.fft(torch.diag(d1), dim=0, norm="ortho"))
        outer = torch.fft.ifft(d2[:, None] * inner[self.permutation], dim=0, norm="ortho")
        u: Tensor = d3[:, None] * reflected(v2, outer)
        return u

    def extra_repr(self) -> str:
        return str(len(self.permutation))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.theta.uniform_(-math.pi, math.pi)
        self.v.uniform_(-1, 1)
        self.permutation.copy_(torch.randperm(len(self.permutation)))


def phases(angle: Tensor) -> Tensor:
    """exp(i angle)."""
    return torch.polar(torch.ones_like(angle), angle)


def reflected(v: Tensor, matrix: Tensor) -> Tensor:
    """(1 - 2 v v^H / |v|^2) matrix."""
    return matrix - torch.outer(v, (2 / v.abs().square().sum()) * (v.conj() @ matrix))
