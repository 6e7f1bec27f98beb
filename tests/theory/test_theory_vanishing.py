"""What equals what, and by how much the paper's product does not: over activations, mu, s and the norm of U."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import momentum_exp as mx
from momentum_exp.theory.derivation import second_order_step
from momentum_exp.theory.simple_cell import SimpleCell
from momentum_exp.theory.trajectory import trace
from momentum_exp.theory.vanishing import gradients, step_jacobian

T, B, D, H = 9, 2, 2, 3
MUS, NORMS = (0.3, 0.6, 0.9, 0.999), (0.1, 0.5, 1.0, 2.0)

ACTIVATION = pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
S = pytest.mark.parametrize("s", [0.3, 1.0])
NORM = pytest.mark.parametrize("norm", NORMS)
MU = pytest.mark.parametrize("mu", MUS)
MU_OR_0 = pytest.mark.parametrize("mu", [0.0, *MUS])


def layer_of(norm: float, **options: Any) -> mx.Recurrent:
    torch.manual_seed(1)
    layer = mx.Recurrent(D, H, recurrence="rnn", dynamics="momentum", dtype=torch.float64, **options)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(norm / torch.linalg.matrix_norm(layer.weight_hh_l0, 2))
    return layer


def inputs() -> Tensor:
    return 0.5 * torch.randn(T, B, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def loss(h_BH: Tensor) -> Tensor:
    """Not linear, so that the last gradient depends on the trajectory, too."""
    return (h_BH * torch.arange(1.0, H + 1)).sum(1).exp().sum()


def relative(found_TBH: Tensor, expected_TBH: Tensor) -> Tensor:
    """(T, B): the norm of the difference over that of the expected."""
    return (found_TBH - expected_TBH).norm(dim=2) / expected_TBH.norm(dim=2)


@ACTIVATION
@S
@NORM
@MU_OR_0
def test_autograd_is_the_plain_product_and_the_full_jacobian(activation: str, mu: float, s: float, norm: float) -> None:
    rows = gradients(layer_of(norm, activation=activation, mu=mu, s=s), inputs(), loss)
    assert rows.total.shape == (T + 1, B, H)
    assert (rows.total.norm(dim=2) > 0).all()
    assert relative(rows.plain, rows.total).max() < 1e-12
    assert relative(rows.system, rows.total).max() < 1e-12


@ACTIVATION
@MU_OR_0
def test_the_blocks_of_the_step_jacobian(activation: str, mu: float) -> None:
    """J = [D U, mu D; 0, mu I]: the velocity never sees h."""
    cell = SimpleCell.of(layer_of(0.7, activation=activation, mu=mu, s=0.6))
    path = trace(cell, inputs(), loss)
    for k in range(T):
        J_BKK = step_jacobian(cell, path.h_TBH[k], path.v_TBH[k], path.g_TBH[k])
        D_BHH, one_BHH = torch.diag_embed(path.slope_TBH[k]), torch.eye(H, dtype=torch.float64).expand(B, H, H)
        torch.testing.assert_close(J_BKK[:, :H, :H], D_BHH @ cell.U_HH)
        torch.testing.assert_close(J_BKK[:, :H, H:], mu * D_BHH)
        torch.testing.assert_close(J_BKK[:, H:], torch.cat([0 * one_BHH, mu * one_BHH], 2), rtol=0, atol=0)


@ACTIVATION
@S
@NORM
def test_without_momentum_the_paper_s_product_is_exact(activation: str, s: float, norm: float) -> None:
    rows = gradients(layer_of(norm, activation=activation, mu=0.0, s=s), inputs(), loss)
    assert relative(rows.paper[1:], rows.total[1:]).max() < 1e-12
    assert relative(rows.second_order[1:], rows.total[1:]).max() < 1e-12


@ACTIVATION
@S
@NORM
@MU
def test_the_paper_s_product_is_off_by_mu_over_q(activation: str, mu: float, s: float, norm: float) -> None:
    """||(c) - (a)|| >= mu / (max sigma' ||U||) ||(a)|| at T-1; at T there is no difference."""
    rows = gradients(layer_of(norm, activation=activation, mu=mu, s=s), inputs(), loss)
    q = norm * {"sigmoid": 0.25, "tanh": 1.0}[activation]
    assert torch.equal(rows.paper[T], rows.total[T])
    assert (relative(rows.paper, rows.total)[T - 1] >= mu / q).all()
    assert (relative(rows.paper, rows.total)[1:T] > 0.1).all()


@ACTIVATION
@S
@pytest.mark.parametrize("norm", [0.1, 0.25])
@MU
def test_the_exact_gradient_falls_with_q_and_the_paper_s_with_mu(
    activation: str, mu: float, s: float, norm: float
) -> None:
    """Times D_{t-1}: (a) at most q^n, (c) between (mu - q)^n and (mu + q)^n of the last."""
    layer = layer_of(norm, activation=activation, mu=mu, s=s)
    rows, path = gradients(layer, inputs(), loss), trace(SimpleCell.of(layer), inputs(), loss)
    q = norm * {"sigmoid": 0.25, "tanh": 1.0}[activation]
    exact_TB, paper_TB = ((row[1:] * path.slope_TBH).norm(dim=2) for row in (rows.total, rows.paper))
    n_T1 = torch.arange(T - 1, -1, -1)[:, None]
    slack = 1 + 1e-12
    assert q < mu
    assert (exact_TB <= q**n_T1 * exact_TB[-1] * slack).all()
    assert (paper_TB * slack >= (mu - q) ** n_T1 * paper_TB[-1]).all()
    assert (paper_TB <= (mu + q) ** n_T1 * paper_TB[-1] * slack).all()
    if mu > 2 * q:  # then the two bounds part
        assert (paper_TB[:-1] > exact_TB[:-1]).all()


@ACTIVATION
@MU
@NORM
def test_nothing_left_out_the_second_order_form_gives_e(activation: str, mu: float, norm: float) -> None:
    """Autograd through its own graph from (h_1, h_0) on, where h_t feeds h_{t+1} and h_{t+2}."""
    layer = layer_of(norm, activation=activation, mu=mu, s=0.6)
    cell, rows = SimpleCell.of(layer), gradients(layer, inputs(), loss)
    path = trace(cell, inputs(), loss)
    states = [path.h_TBH[0], path.h_TBH[1].clone().requires_grad_()]
    for g_BH in path.g_TBH[1:]:
        states.append(second_order_step(cell, states[-1], states[-2], g_BH))
    e_TBH = torch.stack(torch.autograd.grad(loss(states[-1]), states[1:]))
    assert relative(rows.second_order[1:], e_TBH).max() < 1e-8
    assert relative(rows.velocity[1:] / path.slope_TBH, e_TBH).max() < 1e-8
    assert relative(rows.paper[T - 1 :], e_TBH[-2:]).max() < 1e-8
    assert (relative(rows.paper[1:], e_TBH)[:-2] > 1e-3 * mu * norm).all()


@ACTIVATION
@MU_OR_0
@S
def test_what_the_weights_are_taught(activation: str, mu: float, s: float) -> None:
    """dL/dU sums D_{t-1} a_t^T h_{t-1}^T, so it vanishes with (a); dL/dx_t = s dL/dv_t W does not."""
    layer, x_TBD = layer_of(0.5, activation=activation, mu=mu, s=s), inputs().requires_grad_()
    y_TBH, _ = layer(x_TBD)
    by_U_HH, by_x_TBD = torch.autograd.grad(loss(y_TBH[-1]), [layer.weight_hh_l0, x_TBD])
    rows, path = gradients(layer, inputs(), loss), trace(SimpleCell.of(layer), inputs(), loss)
    pre_TBH = rows.total[1:] * path.slope_TBH
    torch.testing.assert_close(torch.einsum("tbi,tbj->ij", pre_TBH, path.h_TBH[:-1]), by_U_HH)
    torch.testing.assert_close(s * rows.velocity[1:] @ layer.weight_ih_l0.detach(), by_x_TBD)
    torch.testing.assert_close(rows.velocity[1:-1], pre_TBH[:-1] + mu * rows.velocity[2:])
    torch.testing.assert_close(rows.velocity[0], mu * rows.velocity[1])


# T = 3, H = 1, L = h_3, W = 1, mu = 1/2, no bias; x is chosen so that pre_1 = pre_3 = 0.
BY_HAND = {
    # U = 2, s = 1, h = 1/2, 3/4, 1/2: D_0 = 1/4, D_1 = 3/16, D_2 = 1/4, Sigma_1 = 4, Sigma_2 = 16/3
    "sigmoid": {
        "U": 2.0,
        "s": 1.0,
        "x": (0.0, math.log(3) - 1, -3 / 2 - (math.log(3) - 1) / 2),
        "exact": (3 / 32, 3 / 16, 1 / 2, 1),
        "paper": (7 / 8, 7 / 6, 1),
        "second_order": (5 / 8, 7 / 6, 1),
        "velocity": (5 / 64, 5 / 32, 7 / 32, 1 / 4),
    },
    # U = 1, s = 2, h = 0, 1/2, 0: D_0 = 1, D_1 = 3/4, D_2 = 1, Sigma_1 = 1, Sigma_2 = 4/3
    "tanh": {
        "U": 1.0,
        "s": 2.0,
        "x": (0.0, math.atanh(0.5) / 2, -(1 / 2 + math.atanh(0.5) / 2) / 2),
        "exact": (3 / 4, 3 / 4, 1, 1),
        "paper": (15 / 8, 5 / 3, 1),
        "second_order": (11 / 8, 5 / 3, 1),
        "velocity": (11 / 16, 11 / 8, 5 / 4, 1),
    },
}


@ACTIVATION
def test_three_steps_of_one_unit_by_hand(activation: str) -> None:
    case: dict[str, Any] = BY_HAND[activation]
    layer = mx.Recurrent(
        1, 1, bias=False, recurrence="rnn", activation=activation, dynamics="momentum", mu=0.5, s=case["s"]
    ).double()
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(case["U"])
    rows = gradients(layer, torch.tensor(case["x"], dtype=torch.float64).view(3, 1, 1), lambda h_BH: h_BH.sum())
    for found in (rows.total, rows.plain, rows.system):
        assert found.flatten().tolist() == pytest.approx(case["exact"], rel=1e-12)
    assert rows.velocity.flatten().tolist() == pytest.approx(case["velocity"], rel=1e-12)
    for name in ("paper", "second_order"):
        start, *rest = getattr(rows, name).flatten().tolist()
        assert math.isnan(start)
        assert rest == pytest.approx(case[name], rel=1e-12)
