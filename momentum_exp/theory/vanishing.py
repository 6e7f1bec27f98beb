"""Does momentum keep dL/dh_t from vanishing? The paper's product beside the exact derivatives.

The cell is v_{k+1} = mu v_k + s g_{k+1} ; h_{k+1} = sigma(pre_{k+1}) with pre_{k+1} = U h_k + v_{k+1} + b, and L is a
loss on h_T. Gradients are row vectors, a_T = dL/dh_T; D_k = diag(sigma'(pre_{k+1})); Sigma_k = diag((sigma^-1)'(h_k));
a product runs from k = T-1 on its left down to k = t on its right (so that U stands where the paper prints U^T):

    (a)  dL/dh_t by autograd, the total derivative
    (b)  a_T prod D_k U                       the plain cell's product, along this cell's trajectory
    (c)  a_T prod D_k (U + mu Sigma_k)        the paper's product for the momentum cell
    (d)  (a_T, 0) prod J_k, its h-block       J_k: Jacobian of the whole step (h_k, v_k) -> (h_{k+1}, v_{k+1})

**(a) = (b) = (d).** The velocity never sees h. So one block of J_k is zero,

    J_k = [ D_k U   mu D_k ]        and the rows (a_t, r_t) of (d) are    a_t = a_{t+1} D_t U
          [   0      mu I  ]                                              r_t = mu (a_{t+1} D_t + r_{t+1}),

where a_t is the plain cell's recursion. Momentum changes dL/dh_t only by moving the point where D_k is taken.

**(c) is something else.** It differentiates the second-order form h_{k+1} = F(h_k, h_{k-1}) (see `derivation`), whose
pre-activation is the same, by h_k with h_{k-1} held fixed: dh_{k+1}/dh_k = D_k (U + mu Sigma_k). It leaves out
dh_{k+1}/dh_{k-1} = -mu D_k U. With it, the state being (h_k, h_{k-1}), there is a fifth candidate:

    (e)  (a_T, 0) prod K_k, first block       K_k = [ D_k (U + mu Sigma_k)   -mu D_k U ]
                                                    [          I                 0     ]

(h_k, v_k) and (h_k, h_{k-1}) are two charts of one state: v_k = sigma^-1(h_k) - U h_{k-1} - b. With the Jacobian
C_k = [I, 0; Sigma_k, -U] of this change, C_{k+1} K_k = J_k C_k (since Sigma_{k+1} D_k = I), hence

    (e)_t = a_t + r_t Sigma_t.

It answers another question: how does L change if h_t moves while h_{t-1} stays, which takes v_t along? The total
derivative by the velocity is dL/dv_t = a_t D_{t-1} + r_t, and D_{t-1} Sigma_t = I, so

    (e)_t = (dL/dv_t) Sigma_t ;    dL/dv_t = a_t D_{t-1} + mu dL/dv_{t+1} ;    dL/d(W x_t) = s dL/dv_t.

(c) equals (e) at t = T and T-1 only, and (a) at t = T only, for mu > 0 and in general; for mu = 0 all are equal.

**How far (c) is from (a).** Take both times D_{t-1}, c'_t = (c)_t D_{t-1} and a'_t = a_t D_{t-1}. Then Sigma_t cancels:

    c'_t = c'_{t+1} (U D_{t-1} + mu I) ;    a'_t = a'_{t+1} U D_{t-1} ;    c'_T = a'_T.

With q = max sigma' ||U||_2 (max sigma' is 1/4 for the sigmoid, 1 for tanh) and n = T - t

    ||a'_t|| <= q^n ||a'_T|| whatever mu ;    (mu - q)^n ||a'_T|| <= ||c'_t|| <= (mu + q)^n ||a'_T||  for q < mu.

The exact gradient vanishes with q, the paper's product about with mu. Already one step from the end, at t = T-1,
||(c) - (a)|| >= (mu / q) ||(a)||.

**What is left of the claim.** Momentum does keep one gradient alive, as mu^n: that in the velocity, and with it that in
the inputs and W. It goes past the hidden states, not through them: for q < 1, dL/dh_t, and with it what an early step
teaches U, vanishes as in the plain cell.

(c) and (e) begin at t = 1: the second-order form has no step from h_0. Source: the paper, section 2.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from momentum_exp.cells import Recurrent
from momentum_exp.theory.simple_cell import SimpleCell
from momentum_exp.theory.trajectory import Loss, Trajectory, trace


class Gradients(NamedTuple):
    """Row vectors at t = 0 .. T, (T + 1, B, H) each; paper and second_order are nan at t = 0.

    total (a), plain (b), paper (c), system (d), second_order (e); velocity: dL/dv_t, from both blocks of (d).
    """

    total: Tensor
    plain: Tensor
    paper: Tensor
    system: Tensor
    second_order: Tensor
    velocity: Tensor


def gradients(layer: Recurrent, x_TBD: Tensor, loss: Loss) -> Gradients:
    """All of them, along the layer's own trajectory over `x_TBD` from the zero state.

    loss: from h_T (B, H) to one number, a sum over the samples.
    Raises UserError for a layer that is not a simple momentum cell.
    """
    cell = SimpleCell.of(layer)
    path = trace(cell, x_TBD, loss)
    a_TBH, r_TBH = system_product(cell, path)
    return Gradients(
        total=path.gradient_TBH,
        plain=plain_product(cell, path),
        paper=paper_product(cell, path),
        system=a_TBH,
        second_order=second_order_product(cell, path),
        velocity=r_TBH + torch.cat([torch.zeros_like(r_TBH[:1]), a_TBH[1:] * path.slope_TBH]),
    )


def plain_product(cell: SimpleCell, path: Trajectory) -> Tensor:
    """(b): b_t = b_{t+1} D_t U."""
    rows = [path.gradient_TBH[-1]]
    for t in reversed(range(path.steps)):
        rows.append(rows[-1] * path.slope_TBH[t] @ cell.U_HH)
    return torch.stack(rows[::-1])


def paper_product(cell: SimpleCell, path: Trajectory) -> Tensor:
    """(c): c_t = c_{t+1} D_t (U + mu Sigma_t), with Sigma_t = D_{t-1}^-1."""
    rows = [path.gradient_TBH[-1]]
    for t in reversed(range(1, path.steps)):
        row_BH = rows[-1] * path.slope_TBH[t]
        rows.append(row_BH @ cell.U_HH + cell.mu * row_BH / path.slope_TBH[t - 1])
    return torch.stack([torch.full_like(rows[0], torch.nan), *rows[::-1]])


def system_product(cell: SimpleCell, path: Trajectory) -> tuple[Tensor, Tensor]:
    """(d): the h-block a_t and the v-block r_t of (a_T, 0) prod J_k."""
    a_BH = path.gradient_TBH[-1]
    rows = [torch.cat([a_BH, torch.zeros_like(a_BH)], 1)[:, None]]
    for t in reversed(range(path.steps)):
        rows.append(rows[-1] @ step_jacobian(cell, path.h_TBH[t], path.v_TBH[t], path.g_TBH[t]))
    a_TBH, r_TBH = torch.cat(rows[::-1], 1).transpose(0, 1).chunk(2, 2)
    return a_TBH, r_TBH


def step_jacobian(cell: SimpleCell, h_BH: Tensor, v_BH: Tensor, g_BH: Tensor) -> Tensor:
    """J (B, 2H, 2H) at (h, v): the derivative of the very step that the layer takes, by autograd."""
    recurrence, dynamics, weights = cell.layer.recurrence, cell.layer.dynamics, cell.layer.weights(0)

    def step(state_K: Tensor, g_H: Tensor) -> Tensor:
        h_1H, v_1H = state_K[None].chunk(2, 1)
        drive_1H, after = dynamics.step(g_H[None], {"v": v_1H})
        _, new = recurrence.step(drive_1H, {"h": h_1H}, weights)
        return torch.cat([new["h"], after["v"]], 1)[0]

    J_BKK: Tensor = torch.func.vmap(torch.func.jacrev(step))(torch.cat([h_BH, v_BH], 1), g_BH)
    return J_BKK.detach()


def second_order_product(cell: SimpleCell, path: Trajectory) -> Tensor:
    """(e): with f_t the second block, e_t = e_{t+1} D_t (U + mu Sigma_t) + f_{t+1} ; f_t = -mu e_{t+1} D_t U."""
    e_BH, f_BH = path.gradient_TBH[-1], torch.zeros_like(path.gradient_TBH[-1])
    rows = [e_BH]
    for t in reversed(range(1, path.steps)):
        row_BH = e_BH * path.slope_TBH[t]
        e_BH = row_BH @ cell.U_HH + cell.mu * row_BH / path.slope_TBH[t - 1] + f_BH
        f_BH = -cell.mu * row_BH @ cell.U_HH
        rows.append(e_BH)
    return torch.stack([torch.full_like(rows[0], torch.nan), *rows[::-1]])
