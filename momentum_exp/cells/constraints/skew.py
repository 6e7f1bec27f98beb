"""Skew-symmetric matrices: from their free entries, and as initial values in blocks of 2 x 2."""

import math

import torch
from torch import Tensor

INITS = ("cayley", "henaff")


def skew(entries: Tensor, size: int) -> Tensor:
    """A - A^T (H, H), where `entries` (H (H - 1) / 2,) fill A above its diagonal row by row."""
    row, column = torch.triu_indices(size, size, 1, device=entries.device)
    upper = entries.new_zeros(size, size).index_put((row, column), entries)
    return upper - upper.mT


def skew_entries(size: int, init: str) -> Tensor:
    """Entries for `skew`, drawn from torch's global generator: blocks [[0, e], [-e, 0]] along the diagonal.

    cayley: e = -sqrt((1 - cos a) / (1 + cos a)), a ~ U(0, pi/2) (Helfrich et al. 2018). henaff: e ~ U(-pi, pi)
    (Henaff et al. 2016). An odd last row stays zero. Both as in the released mnist.py and timit.py. Under expm a
    block turns by e, under the Cayley transform by 2 arctan e: with the entries of `cayley` by less than 1, and by a.
    """
    if init == "cayley":
        angle = torch.empty(size // 2).uniform_(0, math.pi / 2)
        block = -((1 - angle.cos()) / (1 + angle.cos())).sqrt()
    else:
        block = torch.empty(size // 2).uniform_(-math.pi, math.pi)
    upper = torch.zeros(size, size)
    first = torch.arange(0, size - 1, 2)
    upper[first, first + 1] = block
    row, column = torch.triu_indices(size, size, 1)
    return upper[row, column]
