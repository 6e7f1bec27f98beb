"""The LSTM with working memory: a layer on the stored cells in place of the forget gate."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


def log_activation(x: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|): odd, without bound, slope 1 at 0."""
    sign = torch.ones_like(x).where(x >= 0, -1.0)  # never 0: with x.sign() and x.abs() the slope at 0 would be 0
    return sign * (sign * x).log1p()


@dataclass(frozen=True)
class WorkingMemory(Recurrence):
    """pre = u + U h + b_hh ; v = L(V c + b_v) ; c = m c + (1 - m) v + i g ; h = o L(c) ; L(x) = sign(x) ln(1 + |x|).

    In gate order i, m, g, o: i, m, o = sigmoid(pre) and g = L(pre).

    Source: Pulver and Lyu 2017, arXiv 1605.01988v3. From its introduction: there is no forget gate; a functional layer
    works on the previous cell values (`weight_memory` V (H, H), `bias_memory` b_v (H,), never driven by x); the
    cell is a convex combination of its value and the layer's; an activation with a logarithm improves it. The
    source's equations could not be read. The rest is a reading: that the mixing gate m sees x and h, that i g is
    added after the combination, the form of L and that it stands in all three places, no peepholes.

    The initialisation is a choice, too: V the identity, as the release's recurrent weights, b_v zero, and
    `forget_bias` goes to m, which stands where the forget gate did. The release has no such cell.
    """

    name: ClassVar[str] = "working_memory"
    gate_blocks: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    forget_block: ClassVar[int | None] = 1

    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        pre_BG = u_BG + F.linear(state["h"], weights.w_hh, weights.b_hh)
        i_BH, m_BH, g_BH, o_BH = pre_BG.chunk(4, 1)
        m_BH = m_BH.sigmoid()
        v_BH = log_activation(F.linear(state["c"], weights.extra["weight_memory"], weights.extra["bias_memory"]))
        c_BH = m_BH * state["c"] + (1 - m_BH) * v_BH + i_BH.sigmoid() * log_activation(g_BH)
        return pre_BG, {"h": o_BH.sigmoid() * log_activation(c_BH), "c": c_BH}

    def gates(self, pre_BG: Tensor) -> dict[str, Tensor]:
        i_BH, m_BH, _, o_BH = pre_BG.chunk(4, 1)
        return {"i": i_BH.sigmoid(), "m": m_BH.sigmoid(), "o": o_BH.sigmoid()}

    def extra_shapes(self, hidden_size: int) -> dict[str, tuple[int, ...]]:
        return {"weight_memory": (hidden_size, hidden_size), "bias_memory": (hidden_size,)}

    def init_extra_(self, weights: Weights) -> None:
        nn.init.eye_(weights.extra["weight_memory"])
        nn.init.zeros_(weights.extra["bias_memory"])
