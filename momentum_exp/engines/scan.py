"""The loop over the steps as one operation, for torch.export: one step is recorded, whatever their number."""

import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells.dynamics.base import widened
from momentum_exp.engines.base import Unroll, Unrolled
from momentum_exp.engines.flat import flat, part


def scan(call: Unroll) -> Unrolled:
    """As every engine's `run` without `lengths_B`, by torch's scan operator, which ONNX has too.

    For inference: no gradient passes, since the operator's own backward does not know every kind of state (torch
    2.14: neither the integer k nor a complex h). It wants all that a step reads as separate tensors, and results
    that share no memory with them.
    """
    from torch._higher_order_ops.scan import scan_op  # a prototype of torch's, which nothing but an export needs

    recurrence, dynamics, x_TBD, weights, recurrence_state, dynamics_state, lengths_B = call
    assert lengths_B is None, "torch.export does not go through packed sequences"
    if weights.w_ih.is_complex():
        x_TBD = x_TBD.to(weights.w_ih.dtype)
    g_TBG = F.linear(x_TBD, weights.w_ih, weights.b_ih)
    wide_TBG = g_TBG.to(widened(g_TBG.dtype))
    if dynamics_state is None:
        dynamics_state = dynamics.initial_state(wide_TBG[0])
    carried = flat(recurrence=recurrence_state, dynamics=dynamics_state)
    constant = flat(weights=weights.tensors(), learned=dynamics.learned())
    names = [*carried, "g", *constant]

    def step(*tensors: Tensor) -> list[Tensor]:
        given = dict(zip(names, tensors, strict=True))
        u_BG, v = dynamics.with_values(part(given, "learned")).step(given["g"], part(given, "dynamics"))
        before, at = part(given, "recurrence"), weights.with_tensors(part(given, "weights"))
        _, h = recurrence.step(u_BG.to(g_TBG.dtype), before, at)
        new = flat(recurrence=h, dynamics=v)
        return [new[name].clone() for name in carried] + [recurrence.hidden(h).clone()]

    parts = ([t.detach().clone() for t in tensors] for tensors in (carried.values(), [wide_TBG], constant.values()))
    *last, y_TBH = scan_op(step, *parts)
    end = dict(zip(carried, last, strict=True))
    return Unrolled(y_TBH, part(end, "recurrence"), part(end, "dynamics"))
