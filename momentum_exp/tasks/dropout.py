"""The two dropouts of AWD-LSTM that are not torch's: one mask for all steps, and whole words.

Source: Merity, Keskar and Socher 2017, after Gal and Ghahramani 2016. What is kept is scaled by 1 / (1 - p).
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def locked_dropout(x_BTD: Tensor, p: float, training: bool) -> Tensor:
    """Variational dropout: each sequence has one mask over D, the same at every step."""
    if not training or not p:
        return x_BTD
    kept_B1D = torch.empty_like(x_BTD[:, :1]).bernoulli_(1 - p).div_(1 - p)
    return x_BTD * kept_B1D


def embed(words_BT: Tensor, weight_VE: Tensor, p: float, training: bool) -> Tensor:
    """The words' vectors (B, T, E), with dropout of whole words: a dropped one is zero wherever it stands."""
    x_BTE = F.embedding(words_BT, weight_VE)
    if not training or not p:
        return x_BTE
    kept_V1 = torch.empty_like(weight_VE[:, :1]).bernoulli_(1 - p).div_(1 - p)
    return x_BTE * kept_V1[words_BT]
