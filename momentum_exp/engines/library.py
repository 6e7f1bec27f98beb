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
from momentum_exp.cells.weights import Weights
from momentum_exp.engines.base import Engine, Unroll, Unrolled
from momentum_exp.engines.filter import linear_filter


class Library(Engine):
    """torch's fused kernel (cuDNN on a GPU, oneDNN on a CPU), for every recurrence that has one."""

    name: ClassVar[str] = "library"

    @staticmethod
    def rank(dynamics: Dynamics, device_type: str) -> int:
        # The product with the identity weight costs a CPU as much as the fused kernel saves, at twice the memory.
        return 2 if isinstance(dynamics, Linear) or device_type != "cpu" else 0

    @staticmethod
    def refusal(recurrence: Recurrence, dynamics: Dynamics, learned: bool, device_type: str | None) -> str | None:
        if not recurrence.fusable:
            return "torch has no fused kernel for it"
        # The filter has no gradient for its coefficients.
        return "a learned mu, s or beta needs the step-by-step loop" if learned else None

    @staticmethod
    def run(call: Unroll) -> Unrolled:
        recurrence, dynamics, x_TBD, weights, recurrence_state, dynamics_state, lengths_B = call
        z_TBK, w_GK, b_G, last = feed(dynamics, x_TBD, weights, dynamics_state, lengths_B)
        exact = dynamics_state is not None or not isinstance(dynamics, Linear)
        with no_tf32() if exact else nullcontext():
            fed = weights._replace(w_ih=w_GK, b_ih=b_G)
            y_TBH, state = recurrence.fused(z_TBK, recurrence_state, fed, lengths_B)
        return Unrolled(y_TBH, state, last)


def feed(
    dynamics: Dynamics, x_TBD: Tensor, weights: Weights, state: Tensors | None, lengths_B: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensors]:
    """The input, input weight and bias (None: zero) that make the plain cell's kernel compute this cell.

    And the dynamics' last state. Three cases:
    - Not linear: the drive is computed first and fed through an identity weight. This extra product with a (G, G)
      matrix is cheap on a GPU; on a CPU it makes the engine slower than the reference.
    - Linear without memory (all mu_k = 0): the weights times s.
    - Linear: it commutes with the weights. Take z = [x, 1, 0_B], let its own filter start at [0, 0, I_B], and
      take the weights [W, b_ih, v_0^T]: filtered z times these weights is v_t, for every t from 0 on. The last
      part of filtered z is p_t on the diagonal, p_t = mu_1 .. mu_t.
    """
    w_ih, b_ih = weights.w_ih, weights.b_ih
    if not isinstance(dynamics, Linear):
        u_TBG, last = dynamics.unroll(F.linear(x_TBD, w_ih, b_ih), state, lengths_B)
        return u_TBG, torch.eye(len(w_ih), dtype=w_ih.dtype, device=w_ih.device), None, last

    if dynamics.memoryless:
        _, last = dynamics.unroll(F.linear(ends(x_TBD, lengths_B), w_ih, b_ih)[None], state)
        return x_TBD, dynamics.s * w_ih, None if b_ih is None else dynamics.s * b_ih, last

    z_TBK, w_GK, decay_TB, last = filtered(dynamics, x_TBD, weights, state, lengths_B)
    if state is not None and decay_TB is not None:
        z_TBK = torch.cat([z_TBK, torch.diag_embed(decay_TB).to(z_TBK.dtype)], 2)
        w_GK = torch.cat([w_GK, state["v"].T.to(w_GK.dtype)], 1)
    return z_TBK, w_GK, None, last


def filtered(
    dynamics: Linear, x_TBD: Tensor, weights: Weights, state: Tensors | None, lengths_B: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensors]:
    """z = [x, 1] filtered, and its weights [W, b_ih]: v_t = [W, b_ih] z_t + p_t v_0, where p_t = mu_1 .. mu_t.

    The third is p_TB in float64, None without a `state`; the last the dynamics' state at the end.
    """
    # The rounding errors of the steps add up: the filter runs in float64 where there is float64.
    wide, exact = widened(x_TBD.dtype), torch.float32 if x_TBD.device.type == "mps" else torch.float64
    z_TBK, w_GK = x_TBD.to(wide), weights.w_ih
    if weights.b_ih is not None:
        z_TBK = F.pad(z_TBK, (0, 1), value=1.0)
        w_GK = torch.cat([w_GK, weights.b_ih[:, None]], 1)
    start_BK = torch.zeros_like(z_TBK[0], dtype=exact)
    before = dynamics.initial_state(start_BK) if state is None else state
    mu_TB1, counts = dynamics.coefficients(before, len(z_TBK), start_BK)
    z_TBK = linear_filter(z_TBK, start_BK, mu_TB1, dynamics.s)
    with torch.autocast(x_TBD.device.type, enabled=False):
        v_BG = F.linear(ends(z_TBK, lengths_B), w_GK.to(wide))
    decay_TB = None
    if state is not None:
        decay_TB = mu_TB1.squeeze(2).cumprod(0).expand(z_TBK.shape[:2])
        v_BG = v_BG + ends(decay_TB, lengths_B)[:, None].to(wide) * state["v"]
    last = {"v": v_BG, **{name: ends(count_TB, lengths_B) for name, count_TB in counts.items()}}
    return z_TBK.to(x_TBD.dtype), w_GK, decay_TB, last


def ends(x_TBK: Tensor, lengths_B: Tensor | None) -> Tensor:
    """The last step of each sequence."""
    return x_TBK[-1] if lengths_B is None else x_TBK[lengths_B - 1, torch.arange(x_TBK.shape[1])]


@contextmanager
def no_tf32() -> Iterator[None]:
    """Keep cuDNN from rounding the drive, or a carried v_0, to 10 bits on its way through the input weight.

    Backward runs outside, at the caller's setting: there the drive's gradient is rounded as in any other product.
    """
    rnn: Any = torch.backends.cudnn.rnn
    before, rnn.fp32_precision = rnn.fp32_precision, "ieee"
    try:
        yield
    finally:
        rnn.fp32_precision = before
