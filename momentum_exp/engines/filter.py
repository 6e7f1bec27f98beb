"""A linear filter in time with its adjoint as backward: few passes over memory, and no graph of steps."""

from typing import Any

import torch
from torch import Tensor


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z_TBK: Tensor, v_BK: Tensor, mu_TB1: Tensor, s: float, reverse: bool) -> Tensor:
        ctx.save_for_backward(v_BK, mu_TB1)
        ctx.s, ctx.reverse = s, reverse
        out_TBK, v_BK = torch.empty_like(z_TBK), v_BK.clone()
        rows = list(zip(out_TBK.unbind(0), z_TBK.unbind(0), mu_TB1.unbind(0), strict=True))
        for out_BK, z_BK, mu_B1 in reversed(rows) if reverse else rows:
            out_BK.copy_(v_BK.mul_(mu_B1).add_(z_BK, alpha=s))
        return out_TBK

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        v_BK, mu_TB1 = ctx.saved_tensors
        after_TB1 = mu_TB1.roll(1 if ctx.reverse else -1, 0)
        d_TBK = linear_filter(gradients[0], torch.zeros_like(v_BK), after_TB1, ctx.s, not ctx.reverse)
        return d_TBK, None, None, None, None


def linear_filter(z_TBK: Tensor, v_BK: Tensor, mu_TB1: Tensor, s: float, reverse: bool = False) -> Tensor:
    """v_t = mu_t v_{t-1} + s z_t for every t from the constant v_0 = `v_BK`; v_{t+1} for v_{t-1} if `reverse`.

    Computed in v_0's precision, rounded to z's in the result. Differentiable in z, any number of times: the adjoint
    d_t = mu_{t+1} d_{t+1} + s gradient_t is a filter, too. `mu_TB1` may have one row for all of B.
    """
    v_TBK: Tensor = _Filter.apply(z_TBK, v_BK, mu_TB1, s, reverse)
    return v_TBK
