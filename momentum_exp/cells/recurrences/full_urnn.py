"""The full-capacity unitary RNN."""

import math
from dataclasses import dataclass
from typing import ClassVar

from momentum_exp.cells.checks import require_count
from momentum_exp.cells.constraints.full_unitary import FullUnitary
from momentum_exp.cells.recurrences.unitary import Unitary


@dataclass(frozen=True)
class FullURNN(Unitary):
    """pre = u + U h ; h = modReLU(pre, b) ; U = (1 + Z/2)^-1 (1 - Z/2) base, all complex but b.

    Z is skew-Hermitian, base re-set to U and Z to zero after every optimizer step (`FullUnitary`).
    Source: Wisdom, Powers, Hershey, Le Roux and Atlas, Full-capacity unitary recurrent neural networks, 2016.
    optimizer.orthogonal=sgd with optimizer.lr_orthogonal = lambda is its multiplicative update with step size
    lambda; its RMS-normalised variant, with which it trains on MNIST (lambda = 1e-6), is not RMSprop here, see
    `FullUnitary`. Parts of W_ih start in U(+-sqrt(6 / (D + 2 H))), b in U(+-0.01), U as a random matrix of the
    restricted kind (urnn), all as in its code.

    Differences: h_0 is zero, in the source learned. The source's code takes for G the part of the gradient that
    comes through U Re h alone, about half of it. It never projects.

    project: optimizer steps between projections onto the unitary matrices, against rounding.
    """

    name: ClassVar[str] = "full_urnn"
    project: int = 100

    def __post_init__(self) -> None:
        require_count("project", self.project, 1)

    def constraint(self, hidden_size: int) -> FullUnitary:
        return FullUnitary(hidden_size, self.project)

    def input_bound(self, input_size: int, hidden_size: int) -> float:
        return math.sqrt(6 / (input_size + 2 * hidden_size))
