"""The simple recurrent network."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells.checks import require_word
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.recurrences.kernels import run_kernel
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}


@dataclass(frozen=True)
class RNN(Recurrence):
    """pre = u + U h + b_hh ; h = act(pre).

    Source: Elman 1990; the paper's equation (1), with a sigmoid or tanh. The release has no such cell. With
    activation relu and init released (U = 1, biases 0) it is the IRNN of Le, Jaitly and Hinton 2015, whose input
    weights are Gaussian with deviation 0.001 there and orthogonal here.

    activation: tanh, relu or sigmoid.
    """

    name: ClassVar[str] = "rnn"
    gate_blocks: ClassVar[int] = 1
    activation: str = "tanh"

    def __post_init__(self) -> None:
        require_word("activation", self.activation, tuple(ACTIVATIONS))

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        pre_BG = u_BG + F.linear(state["h"], weights.w_hh, weights.b_hh)
        return pre_BG, {"h": ACTIVATIONS[self.activation](pre_BG)}

    @property
    def fusable(self) -> bool:
        return self.activation != "sigmoid"

    def fused(
        self,
        x_TBD: Tensor,
        state: Tensors,
        weights: Weights,
        lengths_B: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        kernel = torch.rnn_tanh if self.activation == "tanh" else torch.rnn_relu
        y_TBH, h_1BH = run_kernel(kernel, x_TBD, state["h"][None], weights, lengths_B)
        return y_TBH, {"h": h_1BH[0]}
