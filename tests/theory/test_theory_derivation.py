"""The forms of the derivation against the package's cell, step by step, in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor

import momentum_exp as mx
from momentum_exp.errors import UserError
from momentum_exp.theory.activations import ACTIVATIONS
from momentum_exp.theory.derivation import descent_form, second_order_form, second_order_step
from momentum_exp.theory.simple_cell import SimpleCell

T, B, D, H = 12, 3, 2, 4

grid = [
    pytest.mark.parametrize("activation", ["sigmoid", "tanh"]),
    pytest.mark.parametrize("mu", [0.0, 0.6, 0.9, 0.999]),
    pytest.mark.parametrize("s", [0.3, 1.0]),
    pytest.mark.parametrize("bias", [False, True]),
]


def over_grid(test: Any) -> Any:
    for mark in grid:
        test = mark(test)
    return test


def layer_of(**options: Any) -> mx.Recurrent:
    """A layer whose U is 0.8 times an orthogonal matrix, so that U^-1 is harmless."""
    torch.manual_seed(1)
    options = {"recurrence": "rnn", "activation": "tanh", "dynamics": "momentum"} | options
    layer = mx.Recurrent(D, H, dtype=torch.float64, **options)
    torch.nn.init.orthogonal_(layer.weight_hh_l0, gain=0.8)
    return layer


def inputs() -> Tensor:
    return 0.5 * torch.randn(T, B, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@over_grid
def test_the_accelerated_descent_is_the_momentum_cell(activation: str, mu: float, s: float, bias: bool) -> None:
    layer = layer_of(activation=activation, mu=mu, s=s, bias=bias)
    h_TBH, _ = layer(inputs())
    torch.testing.assert_close(descent_form(SimpleCell.of(layer), inputs()), h_TBH, rtol=1e-11, atol=1e-13)


@over_grid
def test_the_second_order_form_is_the_momentum_cell(activation: str, mu: float, s: float, bias: bool) -> None:
    layer = layer_of(activation=activation, mu=mu, s=s, bias=bias)
    h_TBH, _ = layer(inputs())
    torch.testing.assert_close(second_order_form(SimpleCell.of(layer), inputs()), h_TBH, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_without_momentum_the_descent_is_the_plain_cell(activation: str) -> None:
    plain = layer_of(activation=activation, dynamics="identity")
    momentum = layer_of(activation=activation, mu=0.0, s=1.0)
    torch.testing.assert_close(descent_form(SimpleCell.of(momentum), inputs()), plain(inputs())[0])


def test_the_second_order_form_cannot_make_the_first_step_of_a_sigmoid() -> None:
    layer = layer_of(activation="sigmoid", mu=0.6, s=1.0)
    cell, zero_BH = SimpleCell.of(layer), torch.zeros(B, H, dtype=torch.float64)
    first_BH = second_order_step(cell, zero_BH, zero_BH, cell.inputs(inputs())[0])
    assert (first_BH == 0).all()  # sigma(mu * minus infinity)
    assert (layer(inputs())[0][0] > 0.1).all()


def test_the_cell_outlives_the_descent_where_u_is_singular() -> None:
    layer = layer_of(mu=0.6, s=1.0)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    assert layer(inputs())[0].isfinite().all()
    with pytest.raises(torch.linalg.LinAlgError):
        descent_form(SimpleCell.of(layer), inputs())


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_slope_inverse_and_steepest(name: str) -> None:
    sigma, slope, inverse, steepest = ACTIVATIONS[name]
    z = torch.linspace(-6, 6, 25, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(sigma(z).sum(), z)
    torch.testing.assert_close(slope(z), derivative, rtol=1e-9, atol=0)
    torch.testing.assert_close(inverse(sigma(z)), z, rtol=1e-9, atol=1e-12)
    assert float(slope(z).detach().max()) == float(slope(torch.zeros(()))) == steepest
    assert (slope(torch.tensor([-300.0, 300.0], dtype=torch.float64)) > 0).all()  # where sigma rounds to 0 or 1


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu", "mu": 0.6},
        {"recurrence": "lstm", "activation": None},
        {"dynamics": "adam"},
        {"num_layers": 2},
        {"bidirectional": True},
        {"batch_first": True},
        {"learn": ["mu"]},
    ],
)
def test_another_cell_is_refused(options: dict[str, Any]) -> None:
    wanted = {name: value for name, value in options.items() if value is not None}
    if "activation" not in options:
        wanted["activation"] = "tanh"
    layer = mx.Recurrent(D, H, **({"recurrence": "rnn", "dynamics": "momentum"} | wanted))
    with pytest.raises(UserError, match="the theory can't take"):
        SimpleCell.of(layer)
