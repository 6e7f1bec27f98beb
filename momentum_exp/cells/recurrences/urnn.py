"""The unitary evolution RNN."""

import math
from dataclasses import dataclass
from typing import ClassVar

from momentum_exp.cells.constraints.fourier import FourierProduct
from momentum_exp.cells.recurrences.unitary import Unitary


@dataclass(frozen=True)
class URNN(Unitary):
    """pre = u + U h ; h = modReLU(pre, b) ; U = D3 R2 F^-1 D2 P R1 F D1, all complex but b.

    D: phases; R: reflections; F: the unitary Fourier transform; P: a fixed permutation (`FourierProduct`).
    Source: Arjovsky, Shah and Bengio, Unitary evolution recurrent neural networks, 2016. Parts of W_ih start in
    U(+-sqrt(6 / (D + H))), b in U(+-0.01), as in its code, U as in the paper.

    Differences: h_0 is zero, in the source learned. The source's code applies R to rows, which conjugates v.
    """

    name: ClassVar[str] = "urnn"

    def constraint(self, hidden_size: int) -> FourierProduct:
        return FourierProduct(hidden_size)

    def input_bound(self, input_size: int, hidden_size: int) -> float:
        return math.sqrt(6 / (input_size + hidden_size))
