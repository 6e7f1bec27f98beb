"""Exact algebra that puts every dynamics onto torch's fused kernel of the plain recurrence."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells.dynamics.base import Dynamics, widened
from momentum_exp.cells.dynamics.linear import Linear
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.state import Tensors
from momentum_exp.engines.base import Engine, Unrolled, Weights


class Library(Engine):
    """torch's fused kernel (cuDNN on a GPU, oneDNN on a CPU), for every recurrence that has one."""

    name: ClassVar[str] = "library"
    rank: ClassVar[int] = 1

    @staticmethod
    def refusal(recurrence: type[Recurrence], dynamics: type[Dynamics]) -> str | None:
        return "torch has no fused kernel for it" if recurrence.fused is Recurrence.fused else None

    @staticmethod
    def run(
        recurrence: Recurrence,
        dynamics: Dynamics,
        x_TBD: Tensor,
        weights: Weights,
        recurrence_state: Tensors,
        dynamics_state: Tensors | None,
        lengths_B: Tensor | None = None,
    ) -> Unrolled:
        z_TBK, w_GK, b_G, last = feed(dynamics, x_TBD, weights, dynamics_state, lengths_B)
        with nullcontext() if isinstance(dynamics, Linear) else no_tf32():
            y_TBH, state = recurrence.fused(z_TBK, recurrence_state, w_GK, weights.w_hh, b_G, weights.b_hh, lengths_B)
        return Unrolled(y_TBH, state, last)


def feed(
    dynamics: Dynamics, x_TBD: Tensor, weights: Weights, state: Tensors | None, lengths_B: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensors]:
    """The input, input weight and bias (None: zero) that make the plain cell's kernel compute this cell.

    And the dynamics' last state. Three cases:
    - Not linear: the drive is computed first and fed through an identity weight, an extra (G, G) product.
    - Linear without memory (all mu_k = 0): the weights times s.
    - Linear: it commutes with the weights. Take z = [x, 1, 0_B], let its own filter start at [0, 0, I_B], and
      take the weights [W, b_ih, v_0^T]: filtered z times these weights is v_t, for every t from 0 on.
    """
    w_ih, _, b_ih, _ = weights
    if not isinstance(dynamics, Linear):
        u_TBG, last = dynamics.unroll(F.linear(x_TBD, w_ih, b_ih), state, lengths_B)
        return u_TBG, torch.eye(len(w_ih), dtype=w_ih.dtype, device=w_ih.device), None, last

    if dynamics.memoryless:
        last_BD = x_TBD[-1] if lengths_B is None else x_TBD[lengths_B - 1, torch.arange(x_TBD.shape[1])]
        _, last = dynamics.unroll(F.linear(last_BD, w_ih, b_ih)[None], state)
        return x_TBD, dynamics.s * w_ih, None if b_ih is None else dynamics.s * b_ih, last

    # The filter's rounding adds up over the steps. In float64 it does not, and z has few columns.
    wide, double = widened(x_TBD.dtype), torch.float32 if x_TBD.device.type == "mps" else torch.float64
    z_TBK, w_GK, start = x_TBD.to(double), w_ih, None
    if b_ih is not None:
        z_TBK = F.pad(z_TBK, (0, 1), value=1.0)
        w_GK = torch.cat([w_GK, b_ih[:, None]], 1)
    if state is not None:
        batch = x_TBD.shape[1]
        identity_BB = torch.eye(batch, dtype=double, device=x_TBD.device)
        start = {**state, "v": F.pad(identity_BB, (z_TBK.shape[2], 0))}
        z_TBK = F.pad(z_TBK, (0, batch))
        w_GK = torch.cat([w_GK, state["v"].T], 1)
    z_TBK, last = dynamics.unroll(z_TBK, start, lengths_B)
    with torch.autocast(x_TBD.device.type, enabled=False):
        v_BG = F.linear(last["v"].to(wide), w_GK.to(wide))
    return z_TBK.to(x_TBD.dtype), w_GK.to(w_ih.dtype), None, {**last, "v": v_BG}


@contextmanager
def no_tf32() -> Iterator[None]:
    """Keep cuDNN from rounding the drive to 10 bits on its way through the identity weight."""
    rnn: Any = torch.backends.cudnn.rnn
    before, rnn.fp32_precision = rnn.fp32_precision, "ieee"
    try:
        yield
    finally:
        rnn.fp32_precision = before
