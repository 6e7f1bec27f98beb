"""How the paper comes from an accelerated descent to MomentumRNN, and the form that its theory differentiates.

Plain cell: h_t = sigma(U h_{t-1} + g_t), g_t = W x_t. With u_t = U^-1 g_t and phi(z) = sigma(U z) this is

    h_t = phi(h_{t-1} + u_t),

a step of gradient descent with -u_t in the place of the gradient, followed by phi. With momentum:

    p_t = mu p_{t-1} + s u_t ;  h_t = phi(h_{t-1} + p_t),  p_0 = 0.              (descent form)

Put v_t = U p_t. Then v_t = mu v_{t-1} + s U u_t = mu v_{t-1} + s g_t, and phi(h + p) = sigma(U h + U p):

    v_t = mu v_{t-1} + s g_t ;  h_t = sigma(U h_{t-1} + v_t).                    (MomentumRNN)

U^-1 is gone: the cell exists for every U, the descent form only for an invertible one.

The velocity can be eliminated as well. From t = 1 on, sigma is inverted, v_t = sigma^-1(h_t) - U h_{t-1}; then from
t = 2 on

    h_t = sigma(U (h_{t-1} - mu h_{t-2}) + mu sigma^-1(h_{t-1}) + s g_t).         (second-order form)

Not from t = 1: h_0 = 0 is no value of a sigmoid, sigma^-1(h_0) is minus infinity.

The package's cells have a second bias b = b_hh outside the momentum. It belongs to phi(z) = sigma(U z + b); then
v_t = sigma^-1(h_t) - U h_{t-1} - b, and (1 - mu) b is added inside the second-order form.

Source: the paper, section 2. The tests compare both forms with `Recurrent`, step by step.
"""

import torch
from torch import Tensor

from momentum_exp.theory.simple_cell import SimpleCell


def descent_form(cell: SimpleCell, x_TBD: Tensor) -> Tensor:
    """h_1 .. h_T, (T, B, H), by p_t = mu p_{t-1} + s U^-1 g_t ; h_t = phi(h_{t-1} + p_t), from h_0 = p_0 = 0.

    Raises torch.linalg.LinAlgError where U is singular.
    """
    u_TBH = torch.linalg.solve(cell.U_HH, cell.inputs(x_TBD).mT).mT
    h_BH = p_BH = torch.zeros_like(u_TBH[0])
    states = []
    for u_BH in u_TBH:
        p_BH = cell.mu * p_BH + cell.s * u_BH
        h_BH = cell.activation.sigma((h_BH + p_BH) @ cell.U_HH.T + cell.b_H)
        states.append(h_BH)
    return torch.stack(states)


def second_order_step(cell: SimpleCell, h_BH: Tensor, before_BH: Tensor, g_BH: Tensor) -> Tensor:
    """h_{t+1} from h_t (`h_BH`), h_{t-1} (`before_BH`) and g_{t+1}."""
    recurrent_BH = (h_BH - cell.mu * before_BH) @ cell.U_HH.T + (1 - cell.mu) * cell.b_H
    return cell.activation.sigma(recurrent_BH + cell.mu * cell.activation.inverse(h_BH) + cell.s * g_BH)


def second_order_form(cell: SimpleCell, x_TBD: Tensor) -> Tensor:
    """h_1 .. h_T, (T, B, H), from h_0 = v_0 = 0: h_1 by the cell itself, then by the second-order form."""
    g_TBH = cell.inputs(x_TBD)
    states = [torch.zeros_like(g_TBH[0]), cell.activation.sigma(cell.s * g_TBH[0] + cell.b_H)]
    for g_BH in g_TBH[1:]:
        states.append(second_order_step(cell, states[-1], states[-2], g_BH))
    return torch.stack(states[1:])
