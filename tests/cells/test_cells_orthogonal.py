"""Constrained recurrent weights: what they are, that training keeps them so, and that nothing else changes them."""

import copy
import math

import pytest
import torch
from torch import nn

import momentum_exp as mx
from momentum_exp.cells.constraints.base import constraints
from momentum_exp.cells.constraints.skew import skew, skew_entries
from momentum_exp.cells.constraints.skew_exponential import skew_exponential
from momentum_exp.cells.options import constrained, recurrence_names, recurrences
from momentum_exp.tasks.classification import Classification

NAMES = [name for name in recurrence_names() if constrained(name)]
VARIANTS = [
    ("dtriv", {"rebase": 1}),
    ("dtriv", {"rebase": 1, "project": 2}),
    ("dtriv", {"rebase": 7, "project": 2, "skew_init": "henaff"}),
    ("exprnn", {"skew_init": "henaff"}),
    ("scornn", {"negative": 5}),
    ("ornn", {"reflections": 5}),
    ("soft_orthogonal", {"margin": 0.0}),
]
CASES = [*((name, {}) for name in NAMES), *VARIANTS]
T, B, D = 4, 3, 2


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make(name, hidden_size=12, dtype=torch.float32, **options):
    return mx.Recurrent(D, hidden_size, recurrence=name, init="released", dtype=dtype, **options)


def weight(layer):
    with torch.no_grad():
        return layer.weight_hh_l0()


def deviation(w):
    """max |W W^H - 1|."""
    return (w @ w.mH - torch.eye(len(w), dtype=w.dtype)).abs().max().item()


class Training:
    """RMSprop on a regression of random outputs on random inputs."""

    def __init__(self, layer, lr=0.003):
        self.layer, self.optimizer = layer, torch.optim.RMSprop(layer.parameters(), lr)
        self.x_TBD, self.target = torch.randn(T, B, D), torch.randn(T, B, layer.output_size)

    def steps(self, number):
        for _ in range(number):
            self.optimizer.zero_grad()
            (self.layer(self.x_TBD)[0] - self.target).square().sum().backward()
            self.optimizer.step()
            mx.after_step(self.layer)


# The exponential ----------------------------------------------------------------------------------------------


def skews():
    """Skew-symmetric matrices of many kinds."""
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 5, 8):
        entries = torch.randn(size * (size - 1) // 2, dtype=torch.float64, generator=generator)
        yield from (
            (f"{kind}, {size}", entries * scale) for kind, scale in (("zero", 0), ("small", 1e-9), ("usual", 1))
        )
        yield f"large, {size}", 20 * entries
    equal = torch.zeros(8, 8, dtype=torch.float64)
    equal[range(0, 6, 2), range(1, 7, 2)] = 0.7
    yield "equal eigenvalues", equal[tuple(torch.triu_indices(8, 8, 1))]
    yield "half turns", equal[tuple(torch.triu_indices(8, 8, 1))] * (math.pi / 0.7)


SKEWS = dict(skews())


def size_of(entries):
    return (1 + math.isqrt(1 + 8 * len(entries))) // 2


@pytest.mark.parametrize("kind", SKEWS)
def test_the_exponential_is_torch_s(kind):
    entries = SKEWS[kind].clone().requires_grad_()
    size = size_of(entries)
    cotangent = torch.randn(size, size, dtype=torch.float64)
    results = []
    for function in (skew_exponential, torch.matrix_exp):
        rotation = function(skew(entries, size))
        results.append([rotation, *torch.autograd.grad((rotation * cotangent).sum(), entries)])
    for ours, torchs in zip(*results, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-11, atol=1e-11)
    assert deviation(results[0][0].detach()) < 1e-14


@pytest.mark.parametrize("kind", ["zero, 5", "usual, 5", "equal eigenvalues", "half turns"])
def test_the_derivative_of_the_exponential(kind):
    entries = SKEWS[kind].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: skew_exponential(skew(a, size_of(entries))), entries)


def test_the_exponential_has_no_second_derivative():
    entries = SKEWS["usual, 5"].clone().requires_grad_()
    (first,) = torch.autograd.grad(skew_exponential(skew(entries, 5)).exp().sum(), entries, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


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


# Training keeps it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "hidden_size"), [*((*case, 12) for case in CASES), *((name, {}, 64) for name in NAMES)], ids=str
)
def test_100_steps_keep_the_constraint(name, options, hidden_size):
    layer = make(name, hidden_size, **options)
    before = weight(layer)
    training = Training(layer)
    margin = layer.recurrence.margin if name == "soft_orthogonal" else 0.0
    for step in range(100):
        training.steps(1)
        if step in (0, 50, 98, 99):  # 98 is before, 99 after a projection
            w = weight(layer)
            if margin:
                assert (torch.linalg.svdvals(w) - 1).abs().max() < margin + 5e-5
            else:
                assert deviation(w) < 5e-5
    assert (w - before).abs().max() > 0.01
    assert not margin or (torch.linalg.svdvals(w) - 1).abs().max() > 0.1 * margin


@pytest.mark.parametrize(("name", "rebase"), [("dtriv", {"rebase": 1}), ("full_urnn", {}), ("soft_orthogonal", {})])
def test_rounding_alone_does_not_grow_between_projections(name, rebase):
    """99 re-bases, with nothing to project yet, stay well within the bound."""
    layer = make(name, 64, **rebase, **({"margin": 0.0} if name == "soft_orthogonal" else {}))
    Training(layer).steps(99)
    assert deviation(weight(layer)) < 2.5e-5


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


def test_options_without_effect_are_refused():
    with pytest.raises(ValueError, match="project=7 has no effect with rebase=0"):
        make("dtriv", project=7)
    with pytest.raises(ValueError, match="bias=False has no effect: recurrence=dtriv has no biases"):
        make("dtriv", bias=False)


@pytest.mark.parametrize("rebase", [1, 7])
def test_re_basing_leaves_the_weight_as_it_is(rebase):
    """And happens after every K-th step, when A returns to zero; the base is projected every second time."""
    layer = make("dtriv", dtype=torch.float64, rebase=rebase, project=2)
    constraint = layer.weight_hh_l0
    for step in range(1, 2 * rebase + 1):
        nn.init.normal_(constraint.A, std=0.1)
        before, base = weight(layer), constraint.base.clone()
        mx.after_step(layer)
        torch.testing.assert_close(weight(layer), before, rtol=0, atol=1e-13)
        re_based = step % rebase == 0
        assert constraint.A.any() != re_based
        assert torch.equal(constraint.base, base) != re_based

    for projected in (False, True):
        constraint.base += 1e-5 * torch.randn(12, 12, dtype=torch.float64)
        for _ in range(rebase):
            mx.after_step(layer)
        assert (deviation(constraint.base) < 1e-14) == projected


def test_without_re_basing_the_base_never_moves():
    layer = make("dtriv", rebase=0)
    base = layer.weight_hh_l0.base.clone()
    Training(layer).steps(10)
    assert torch.equal(layer.weight_hh_l0.base, base)
    assert layer.weight_hh_l0.A.any()


def test_soft_orthogonal_re_bases_both_sides_at_every_step():
    constraint = make("soft_orthogonal", dtype=torch.float64).weight_hh_l0
    for side in (constraint.left, constraint.right):
        nn.init.normal_(side.A)
    before = constraint()
    mx.after_step(constraint)
    torch.testing.assert_close(constraint(), before)
    assert not constraint.left.A.any()
    assert not constraint.right.A.any()


# One weight a call, one state ---------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_state_dict_carries_all_that_training_goes_on_from(name, options):
    """Outputs are equal bit for bit, and so is what further training makes of them: re-basing keeps its step."""
    first, second = (Training(make(name, **options)) for _ in range(2))
    second.x_TBD, second.target = first.x_TBD, first.target
    first.steps(5)
    assert not torch.equal(weight(first.layer), weight(second.layer))
    second.layer.load_state_dict(first.layer.state_dict())
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    assert torch.equal(first.layer(first.x_TBD)[0], second.layer(first.x_TBD)[0])
    for training in (first, second):
        training.steps(11)
    for a, b in zip(first.layer.state_dict().values(), second.layer.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_a_deep_copy_is_independent(name):
    layer = make(name)
    other, x_TBD = copy.deepcopy(layer), torch.randn(T, B, D)
    expected = layer(x_TBD)[0]
    assert torch.equal(other(x_TBD)[0], expected)
    Training(other).steps(3)
    assert torch.equal(layer(x_TBD)[0], expected)
    assert not torch.equal(other(x_TBD)[0], expected)


# Where it starts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("init", "low", "high"), [("cayley", -1, 0), ("henaff", -math.pi, math.pi)])
@pytest.mark.parametrize("size", [1000, 1001])
def test_skew_entries_start_in_blocks(init, low, high, size):
    upper = torch.zeros(size, size)
    upper[tuple(torch.triu_indices(size, size, 1))] = skew_entries(size, init)
    blocks = upper[range(0, size - 1, 2), range(1, size, 2)]
    assert upper.count_nonzero() == len(blocks) == size // 2
    assert low < blocks.min() < low + 0.05 * (high - low)
    assert high - 0.05 * (high - low) < blocks.max() < high
    if init == "cayley":  # the tangent of half an angle that is uniform up to a right angle
        angles = 2 * torch.atan(-blocks)
        assert angles.mean().item() == pytest.approx(math.pi / 4, abs=0.1)


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


# Parameters ---------------------------------------------------------------------------------------------------


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


def test_torch_s_own_parametrization_of_a_plain_layer():
    layer = mx.Recurrent(D, 6, recurrence="rnn", dynamics="momentum")
    nn.utils.parametrizations.orthogonal(layer, "weight_hh_l0")
    training = Training(layer, lr=0.01)
    before = layer.weight_hh_l0.detach().clone()
    training.steps(20)
    w = layer.weight_hh_l0.detach()
    assert (w - before).abs().max() > 0.01
    assert deviation(w) < 5e-5
    plain = mx.Recurrent(D, 6, recurrence="rnn", dynamics="momentum")
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    plain.load_state_dict({name: getattr(layer, name) for name in names})
    assert torch.equal(layer(training.x_TBD)[0], plain(training.x_TBD)[0])


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
