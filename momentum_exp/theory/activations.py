"""The two smooth, invertible activations of the theory, with slope and inverse."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


class Activation(NamedTuple):
    """sigma, its slope sigma'(z), its inverse sigma^-1(h), and the largest slope, which is sigma'(0).

    The slope of the inverse is (sigma^-1)'(sigma(z)) = 1 / sigma'(z), so it is at least 1 / steepest.
    """

    sigma: Map
    slope: Map
    inverse: Map
    steepest: float


# The slopes are written so that they stay exact where sigma itself rounds to 0 or 1.
ACTIVATIONS = {
    "sigmoid": Activation(torch.sigmoid, lambda z: torch.sigmoid(z) * torch.sigmoid(-z), torch.logit, 0.25),
    "tanh": Activation(torch.tanh, lambda z: torch.cosh(z) ** -2, torch.atanh, 1.0),
}
