"""The efficient unitary RNN with tunable capacity."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from momentum_exp.cells.checks import require_count, require_word
from momentum_exp.cells.constraints.rotations import Rotations, butterflies, neighbours
from momentum_exp.cells.recurrences.unitary import Unitary
from momentum_exp.cells.weights import Weights


@dataclass(frozen=True)
class EUNN(Unitary):
    """pre = u + U h ; h = modReLU(pre, b) ; U = D F_L .. F_1, all complex but b.

    D: phases; F: a layer of rotations of pairs of units (`Rotations`). Source: Jing et al., Tunable efficient
    unitary neural networks (EUNN) and their application to RNNs, 2017, and its released code. There are
    H (L + 1) - L free numbers in U (H and L even); L = H reaches every unitary matrix.

    Differences: the paper's formula has the phase of a rotation in its first row, the code, followed here, in its
    second column; in the first row it would be redundant with D. Parts of W_ih start in U(+-0.01), b at 0 and all
    angles in U(+-pi), as in the code of the paper's time; later angles were in U(+-0.01) and b at -0.01, with
    which units whose drive stays below 0.01 neither answer nor learn. The source's MNIST task reads Re h alone.

    rotation_style: `tunable`, layers of neighbours, or `fft`, log2(H) layers at distance H/2, H/4, .., 1, for an H
    that is a power of two. capacity: L, layers of style tunable.
    """

    name: ClassVar[str] = "eunn"
    rotation_style: str = "tunable"
    capacity: int = 2

    def __post_init__(self) -> None:
        require_word("rotation_style", self.rotation_style, ("tunable", "fft"))
        require_count("capacity", self.capacity, 1)
        if self.rotation_style == "fft" and self.capacity != type(self).capacity:
            raise ValueError(
                f"capacity={self.capacity} has no effect with rotation_style=fft, which has log2(hidden_size) layers; "
                "leave capacity out or write rotation_style=tunable"
            )

    def constraint(self, hidden_size: int) -> Rotations:
        if self.rotation_style == "tunable":
            return Rotations(hidden_size, neighbours(hidden_size, self.capacity))
        if hidden_size.bit_count() != 1:
            raise ValueError(
                f"hidden_size={hidden_size} is not a power of two, which rotation_style=fft needs; "
                f"write hidden_size={2 ** hidden_size.bit_length()} or rotation_style=tunable"
            )
        return Rotations(hidden_size, butterflies(hidden_size))

    def input_bound(self, input_size: int, hidden_size: int) -> float:
        return 0.01

    @torch.no_grad()
    def init_extra_(self, weights: Weights) -> None:
        weights.extra["bias_modrelu"].zero_()
