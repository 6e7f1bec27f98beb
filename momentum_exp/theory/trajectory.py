"""One pass of a cell over a sequence, with all its states and the gradient that autograd gives at each."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from momentum_exp.theory.simple_cell import SimpleCell

Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Along t: h_TBH and v_TBH (T + 1, B, H) hold h_0 .. h_T and v_0 .. v_T; in g_TBH and slope_TBH (T, B, H) row k
    holds g_{k+1} and sigma'(pre_{k+1}), pre_{k+1} = U h_k + v_{k+1} + b, so that D_k = diag(slope_TBH[k]).

    gradient_TBH: (T + 1, B, H), dL/dh_0 .. dL/dh_T by autograd.
    """

    h_TBH: Tensor
    v_TBH: Tensor
    g_TBH: Tensor
    slope_TBH: Tensor
    gradient_TBH: Tensor

    @property
    def steps(self) -> int:
        """T."""
        return len(self.g_TBH)


def trace(cell: SimpleCell, x_TBD: Tensor, loss: Loss) -> Trajectory:
    """Run the layer over `x_TBD` from zero and differentiate `loss`.

    loss: from h_T (B, H) to one number, a sum over the samples, so that each row of a gradient is one sample's own.
    """
    states: list[Tensor] = []
    slopes: list[Tensor] = []

    def watch(layer: int, direction: int, t: int, pre_BH: Tensor, state: dict[str, Tensor]) -> None:
        slopes.append(cell.activation.slope(pre_BH.detach()))
        states.append(state["h"])

    h_BH = x_TBD.new_zeros(1, x_TBD.shape[1], len(cell.U_HH), requires_grad=True)
    with torch.enable_grad(), cell.layer.observe(watch):
        cell.layer(x_TBD, h_BH)
        gradients = torch.autograd.grad(loss(states[-1]), [h_BH, *states], materialize_grads=True)

    g_TBH = cell.inputs(x_TBD)
    v_TBH, _ = cell.layer.dynamics.unroll(g_TBH)
    return Trajectory(
        h_TBH=torch.stack([h_BH[0], *states]).detach(),
        v_TBH=torch.cat([torch.zeros_like(v_TBH[:1]), v_TBH]),
        g_TBH=g_TBH,
        slope_TBH=torch.stack(slopes),
        gradient_TBH=torch.stack([gradients[0][0], *gradients[1:]]),
    )
