"""Orthogonal matrices as products of Householder reflections."""

import torch
from torch import Tensor, nn

from momentum_exp.cells.constraints.base import Constraint


class Householder(Constraint):
    """U = H(v_1) .. H(v_m), H(v) = 1 - 2 v v^T / |v|^2, used as U h; v_j is zero above its j-th entry.

    The vectors are the columns of V (H, m), lower triangular; only the entries that can differ from zero are free.
    The product is computed in its compact form, exact for vectors of any length,

        U = 1 - V T^-1 V^T,  T = strictly upper part of V^T V + half its diagonal.

    With m = H the last vector has a single entry, which instead of a reflection multiplies the last coordinate
    (so that determinants of both signs are reached). After each optimizer step the vectors are given length 1.
    Mhammedi et al. 2017; released code, oRNN.py and sgd.py.
    """

    def __init__(self, size: int, reflections: int) -> None:
        super().__init__()
        self.size, self.reflections = size, reflections
        self.v = nn.Parameter(torch.empty(size * reflections - reflections * (reflections - 1) // 2))
        self.reset_parameters()

    def forward(self) -> Tensor:
        v_HM = self.vectors()
        full = self.reflections == self.size
        mirrors_HM = v_HM[:, :-1] if full else v_HM
        products_MM = mirrors_HM.mT @ mirrors_HM
        t_MM = products_MM.triu(1) + torch.diag(products_MM.diagonal() / 2)
        one_HH = torch.eye(self.size, dtype=v_HM.dtype, device=v_HM.device)
        u_HH = one_HH - mirrors_HM @ torch.linalg.solve_triangular(t_MM, mirrors_HM.mT, upper=True)
        return torch.cat([u_HH[:, :-1], u_HH[:, -1:] * v_HM[-1, -1]], 1) if full else u_HH

    def vectors(self) -> Tensor:
        """V (H, m)."""
        row, column = self._places()
        return self.v.new_zeros(self.size, self.reflections).index_put((row, column), self.v)

    def extra_repr(self) -> str:
        return f"{self.size}, reflections={self.reflections}"

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Directions of Gaussian vectors, at length 1."""
        nn.init.normal_(self.v)
        self.after_step()

    @torch.no_grad()
    def after_step(self) -> None:
        _, column = self._places()
        self.v.div_(self.vectors().norm(dim=0)[column])

    def _places(self) -> tuple[Tensor, Tensor]:
        row, column = torch.tril_indices(self.size, self.reflections, device=self.v.device)
        return row, column
