"""A linear filter in time with its adjoint as backward: few passes over memory, and no graph of steps."""

from typing import Any

import torch
from torch import Tensor

CHUNK = 64  # steps whose filter is kept in full precision at once


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z_TBK: Tensor, v_BK: Tensor, mu_TB1: Tensor, s: float, reverse: bool) -> Tensor:
        ctx.save_for_backward(v_BK, mu_TB1)
        ctx.s, ctx.reverse = s, reverse
        on_gpu, one_row = z_TBK.device.type != "cpu", mu_TB1.shape[1] == 1
        return (by_product if on_gpu and one_row else by_steps)(z_TBK, v_BK, mu_TB1, s, reverse)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        v_BK, mu_TB1 = ctx.saved_tensors
        after_TB1 = mu_TB1.roll(1 if ctx.reverse else -1, 0)
        d_TBK = linear_filter(gradients[0], torch.zeros_like(v_BK), after_TB1, ctx.s, not ctx.reverse)
        return d_TBK, None, None, None, None


def by_steps(z_TBK: Tensor, v_BK: Tensor, mu_TB1: Tensor, s: float, reverse: bool) -> Tensor:
    """One small operation a step, in v_0's precision, a chunk at a time: the fastest on a CPU."""
    out_TBK = torch.empty_like(z_TBK)
    parts = (torch.split(tensor, CHUNK) for tensor in (out_TBK, z_TBK, mu_TB1))
    chunks = list(zip(*parts, strict=True))
    for out_CBK, z_CBK, mu_CB1 in reversed(chunks) if reverse else chunks:
        v_CBK = z_CBK.to(v_BK.dtype, copy=True).mul_(s)
        rows = list(zip(v_CBK.unbind(0), mu_CB1.unbind(0), strict=True))
        for row_BK, mu_B1 in reversed(rows) if reverse else rows:
            v_BK = row_BK.addcmul_(mu_B1, v_BK)
        out_CBK.copy_(v_CBK)
    return out_TBK


def by_product(z_TBK: Tensor, v_BK: Tensor, mu_T11: Tensor, s: float, reverse: bool) -> Tensor:
    """One product with the (T, T) matrix of prod_{j < i <= t} mu_i: few kernels, for a GPU."""
    if reverse:
        return by_product(z_TBK.flip(0), v_BK, mu_T11.flip(0), s, False).flip(0)
    mu_T1 = mu_T11.flatten(1)
    below_TT = torch.ones(len(mu_T1), len(mu_T1), dtype=torch.bool, device=mu_T1.device).tril(-1)
    decay_TT = torch.where(below_TT, mu_T1, 1.0).cumprod(0).tril()
    driven_TK = (s * decay_TT).to(z_TBK.dtype) @ z_TBK.flatten(1)
    carried_TBK = mu_T11.cumprod(0) * v_BK
    return (driven_TK.view_as(z_TBK) + carried_TBK).to(z_TBK.dtype)


def linear_filter(z_TBK: Tensor, v_BK: Tensor, mu_TB1: Tensor, s: float, reverse: bool = False) -> Tensor:
    """v_t = mu_t v_{t-1} + s z_t for every t from the constant v_0 = `v_BK`; v_{t+1} for v_{t-1} if `reverse`.

    Computed in v_0's precision, rounded to z's in the result. Differentiable in z, any number of times: the adjoint
    d_t = mu_{t+1} d_{t+1} + s gradient_t is a filter, too. `mu_TB1` may have one row for all of B.
    """
    v_TBK: Tensor = _Filter.apply(z_TBK, v_BK, mu_TB1, s, reverse)
    return v_TBK
