"""A layer with a constrained weight as a torch module: one weight a call, precision, copies, groups, errors."""

import copy

import pytest
import torch
from orthogonal_layers import NAMES, B, D, T, Training, make, weight
from torch import nn

import momentum_exp as mx
from momentum_exp.cells.constraints.base import constraints


@pytest.mark.parametrize("name", NAMES)
def test_the_weight_is_computed_once_a_call(name):
    layer = make(name, num_layers=2, bidirectional=True)
    calls = []
    for constraint in constraints(layer):
        constraint.register_forward_hook(lambda module, *_: calls.append(module))
    for _ in range(2):
        layer(torch.randn(T, B, D))
        assert len(calls) == len(set(calls)) == len(list(constraints(layer)))
        calls.clear()


@pytest.mark.parametrize("name", NAMES)
def test_the_weight_keeps_its_precision_under_autocast(name):
    layer = make(name)
    expected = weight(layer)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.weights(0).w_hh, expected)
        layer(torch.randn(T, B, D))[0].sum().backward()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_leaves_the_constraint_in_float32(name):
    layer, asked = make(name, 8), make(name, 8, dtype=torch.bfloat16)
    reference = weight(layer)
    for half in (layer.bfloat16(), asked):
        y_TBH, _ = half(torch.randn(T, B, D, dtype=torch.bfloat16))
        assert y_TBH.isfinite().all()
        assert {p.dtype for p in half.weight_hh_l0.parameters()} <= {torch.float32}
    assert torch.equal(weight(layer), reference)
    assert make(name, 8, device="meta").weight_ih_l0.is_meta


@pytest.mark.parametrize("name", NAMES)
def test_functional_gradients_are_autograd_s(name):
    layer = make(name, 4, dtype=torch.float64)
    x_TBD, parameters = torch.randn(T, B, D, dtype=torch.float64), dict(layer.named_parameters())

    def loss(tensors):
        return torch.func.functional_call(layer, tensors, (x_TBD,))[0].square().sum()

    found = torch.func.grad(loss)({key: value.detach() for key, value in parameters.items()})
    expected = dict(zip(parameters, torch.autograd.grad(loss(parameters), list(parameters.values())), strict=True))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_deep_copy_is_independent(name):
    layer = make(name)
    other, x_TBD = copy.deepcopy(layer), torch.randn(T, B, D)
    expected = layer(x_TBD)[0]
    assert torch.equal(other(x_TBD)[0], expected)
    Training(other).steps(3)
    assert torch.equal(layer(x_TBD)[0], expected)
    assert not torch.equal(other(x_TBD)[0], expected)


@pytest.mark.parametrize("name", NAMES)
def test_parameter_groups(name):
    """All of a constrained weight is in one group, wherever it is in a model; the rest is free."""
    model = nn.ModuleDict({"first": make(name), "second": mx.LSTM(D, 3)})
    groups = mx.parameter_groups(model)
    expected = set(model["first"].weight_hh_l0.parameters())
    assert expected
    assert set(groups["orthogonal"]) == expected
    assert set(groups["free"]) == set(model.parameters()) - expected
    assert groups["dynamics"] == []


def test_options_without_effect_are_refused():
    with pytest.raises(ValueError, match="project=7 has no effect with rebase=0"):
        make("dtriv", project=7)
    with pytest.raises(ValueError, match="bias=False has no effect: recurrence=dtriv has no biases"):
        make("dtriv", bias=False)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ornn", {"reflections": 13}, "reflections=13 is out of range: 1 <= reflections <= hidden_size=12"),
        ("ornn", {"reflections": 0}, "reflections=0 is out of range: an integer >= 1"),
        ("scornn", {"negative": 13}, "negative=13 is out of range: 0 <= negative <= hidden_size=12"),
        ("scornn", {"negative": -1}, "negative=-1 is out of range: an integer >= 0"),
        ("soft_orthogonal", {"margin": 1.5}, "margin=1.5 is out of range: 0 <= margin <= 1"),
        ("soft_orthogonal", {"activation": "sigmoid"}, "activation=sigmoid is unknown; write one of: relu, tanh"),
        ("dtriv", {"rebase": -1}, "rebase=-1 is out of range: an integer >= 0"),
        ("dtriv", {"project": 0}, "project=0 is out of range: an integer >= 1"),
        ("dtriv", {"skew_init": "haar"}, "skew_init=haar is unknown; write one of: cayley, henaff"),
        ("exprnn", {"skew_init": "haar"}, "skew_init=haar is unknown; write one of: cayley, henaff"),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)
