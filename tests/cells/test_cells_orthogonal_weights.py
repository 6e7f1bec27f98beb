"""What each constrained weight is, by its formula, where it and the other parameters start, and how many there are."""

import copy
import math

import pytest
import torch
from orthogonal_layers import CASES, B, D, T, deviation, make, weight
from torch import nn

import momentum_exp as mx
from momentum_exp.cells.constraints.skew import skew, skew_entries
from momentum_exp.cells.options import recurrences
from momentum_exp.tasks.classification import Classification

# What each weight is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_weight_is_differentiable_in_its_free_parameters(name, options):
    constraint = recurrences()[name](**options).constraint(6 if "negative" in options else 8).double()
    names, values = zip(*((n, p.detach().requires_grad_()) for n, p in constraint.named_parameters()), strict=True)

    def function(*values):
        return torch.func.functional_call(constraint, dict(zip(names, values, strict=True)), ())

    assert torch.autograd.gradcheck(function, values)


@pytest.mark.parametrize("negative", [0, 2, 5])
def test_scornn_is_the_scaled_cayley_transform(negative):
    layer = make("scornn", 5, torch.float64, negative=negative)
    nn.init.normal_(layer.weight_hh_l0.A)
    s_HH = skew(layer.weight_hh_l0.A.detach(), 5)
    one_HH = torch.eye(5, dtype=torch.float64)
    d_HH = torch.diag(torch.tensor([1.0] * (5 - negative) + [-1.0] * negative, dtype=torch.float64))
    torch.testing.assert_close(weight(layer).T, (one_HH + s_HH).inverse() @ (one_HH - s_HH) @ d_HH)
    assert torch.linalg.det(weight(layer)).item() == pytest.approx((-1) ** negative)


@pytest.mark.parametrize("m", [1, 3, 6])
def test_ornn_is_a_product_of_reflections(m):
    """Whatever the vectors' lengths; with m = H the last factor is the last entry of V instead of a reflection."""
    layer = make("ornn", 6, torch.float64, reflections=m)
    constraint = layer.weight_hh_l0
    nn.init.normal_(constraint.v)
    v_HM = constraint.vectors().detach()
    assert torch.equal(v_HM, v_HM.tril())
    assert v_HM.count_nonzero() == constraint.v.numel()
    product = torch.eye(6, dtype=torch.float64)
    for j in range(m):
        v = v_HM[:, j : j + 1]
        last = torch.diag(torch.tensor([1.0] * 5 + [v[-1].item()], dtype=torch.float64))
        product = product @ (last if j == 5 else torch.eye(6, dtype=torch.float64) - 2 * v @ v.T / (v.T @ v))
    torch.testing.assert_close(weight(layer), product)
    layer.weight_hh_l0.after_step()
    torch.testing.assert_close(constraint.vectors().norm(dim=0), torch.ones(m, dtype=torch.float64))
    assert deviation(weight(layer)) < 1e-14
    sign = v_HM[-1, -1].sign() * (-1) ** 5 if m == 6 else (-1) ** m
    assert torch.linalg.det(weight(layer)).item() == pytest.approx(float(sign))


@pytest.mark.parametrize("margin", [0.001, 0.1, 1.0])
def test_soft_orthogonal_has_the_singular_values_of_its_formula(margin):
    layer = make("soft_orthogonal", 6, torch.float64, margin=margin)
    p = nn.init.normal_(layer.weight_hh_l0.p, std=3).detach()
    expected = 1 + 2 * margin * (p.sigmoid() - 0.5)
    torch.testing.assert_close(torch.linalg.svdvals(weight(layer)), expected.sort(descending=True).values)


def test_soft_orthogonal_steps_along_a_geodesic():
    """Gradient descent on L: the Cayley step of A = G L^T - L G^T, up to the third order in the learning rate."""
    constraint = make("soft_orthogonal", 6, torch.float64).weight_hh_l0
    cotangent, one = torch.randn(6, 6, dtype=torch.float64), torch.eye(6, dtype=torch.float64)
    nn.init.normal_(constraint.p)
    errors = []
    for lr in (0.02, 0.01):
        moved = copy.deepcopy(constraint)
        before = (moved() * cotangent).sum()
        before.backward()
        with torch.no_grad():
            moved.left.A -= lr * moved.left.A.grad
            mx.after_step(moved)
            assert (moved() * cotangent).sum() < before
            left = constraint.left()
            gradient = cotangent @ constraint().T @ left  # W = L diag(s) R^T: dW/dL through diag(s) R^T = L^T W
            a = gradient @ left.T - left @ gradient.T
            cayley = torch.linalg.solve(one + lr / 2 * a, one - lr / 2 * a) @ left
            errors.append((moved.left() - cayley).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.2)


@pytest.mark.parametrize(
    ("name", "activation"), [("ornn", None), ("soft_orthogonal", "relu"), ("soft_orthogonal", "tanh")]
)
def test_the_cells_with_biases(name, activation):
    """h = act(W_ih x + b_ih + U h + b_hh), written out."""
    layer = make(name, 6, torch.float64, **({"activation": activation} if activation else {}))
    for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
        nn.init.normal_(bias)
    functions = {None: lambda z: torch.maximum(z / 10, z), "relu": lambda z: z.clamp(min=0), "tanh": torch.tanh}
    x_TBD = torch.randn(T, B, D, dtype=torch.float64)
    h_BH, outputs = torch.zeros(B, 6, dtype=torch.float64), []
    for x_BD in x_TBD:
        pre = x_BD @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h_BH @ weight(layer).T + layer.bias_hh_l0
        h_BH = functions[activation](pre)
        outputs.append(h_BH)
    torch.testing.assert_close(layer(x_TBD)[0], torch.stack(outputs))


# Where it starts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dtriv", "exprnn"])
def test_exprnn_and_dtriv_start_at_the_exponential_of_the_same_entries(name):
    layer = make(name, 9)
    torch.manual_seed(3)
    layer.weight_hh_l0.reset_parameters()
    torch.manual_seed(3)
    rotation = torch.matrix_exp(skew(skew_entries(9, "cayley"), 9))
    torch.testing.assert_close(weight(layer).T, rotation)
    assert layer.weight_hh_l0.A.any() == (name == "exprnn")


@pytest.mark.parametrize("name", ["dtriv", "exprnn", "scornn", "ornn", "soft_orthogonal"])
def test_the_other_parameters_start_as_released(name):
    layer = make(name, 200, **({"reflections": 20} if name == "ornn" else {}))
    assert deviation(weight(layer)) < 5e-6
    w_ih = layer.weight_ih_l0
    if name in ("scornn", "soft_orthogonal"):
        assert 0.0095 < w_ih.abs().max() <= 0.01
    elif name == "ornn":
        bound = math.sqrt(6 / (D + 200))
        assert 0.95 * bound < w_ih.abs().max() <= bound
    else:
        assert w_ih.std().item() == pytest.approx(math.sqrt(2 / D), rel=0.1)
    if name in ("ornn", "soft_orthogonal"):
        assert not layer.bias_ih_l0.any()
        assert not layer.bias_hh_l0.any()
    else:
        assert layer.bias_modrelu_l0.abs().max() <= (0.0 if name == "scornn" else 0.01)
        assert not hasattr(layer, "bias_ih_l0")


def test_scornn_and_ornn_take_what_their_releases_take_by_default():
    assert make("scornn", 170).weight_hh_l0.negative == 17
    assert make("ornn", 20).weight_hh_l0.reflections == 20


# How many parameters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [(170, 16_415), (360, 68_950), (512, 136_970)])
def test_the_sizes_of_table_4(size, expected):
    """About 16, 69 and 137 thousand in the paper."""
    model = Classification(mx.Recurrent(1, size, batch_first=True, recurrence="dtriv", dynamics="momentum"), 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_the_numbers_of_free_entries():
    for name, expected in {"dtriv": 66, "exprnn": 66, "scornn": 66, "ornn": 78, "soft_orthogonal": 144}.items():
        constraint = make(name).weight_hh_l0
        assert sum(parameter.numel() for parameter in constraint.parameters()) == expected
    assert make("ornn", reflections=3).weight_hh_l0.v.numel() == 12 + 11 + 10
