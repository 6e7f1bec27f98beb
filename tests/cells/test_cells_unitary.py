"""The unitary cells: their matrices against explicit products, complex arithmetic through the whole layer."""

import copy
import io

import numpy as np
import pytest
import torch
from torch.nn.utils import clip_grad_norm_

import momentum_exp as mx
from momentum_exp.cells import after_step, parameter_groups
from momentum_exp.cells.constraints.fourier import FourierProduct
from momentum_exp.cells.constraints.full_unitary import FullUnitary
from momentum_exp.cells.constraints.rotations import Rotations, butterflies, neighbours
from momentum_exp.cells.recurrences.modrelu import modrelu
from momentum_exp.config import OptimizerConfig
from momentum_exp.data import Batch
from momentum_exp.diagnostics.gradient_flow import measure_flow
from momentum_exp.tasks.classification import Classification
from momentum_exp.training.optimizers import build_optimizer

CONSTRAINTS = {
    "fourier": FourierProduct,
    "full": FullUnitary,
    "rotations": lambda size: Rotations(size, neighbours(size, 3)),
    "butterflies": lambda size: Rotations(size, butterflies(size)),
}
CELLS = [("urnn", {}), ("full_urnn", {}), ("eunn", {"capacity": 3}), ("eunn", {"rotation_style": "fft"})]
D, H, T, B = 2, 4, 5, 3
every_cell = pytest.mark.parametrize(("recurrence", "options"), CELLS, ids=["urnn", "full", "tunable", "fft"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make(recurrence, **options):
    return mx.Recurrent(D, H, recurrence=recurrence, **{"dtype": torch.float64, **options})


def data(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@torch.no_grad()
def scramble(module):
    """Parameters anywhere, not only where they start."""
    for parameter in module.parameters():
        parameter.copy_(torch.randn_like(parameter))
    return module


# Matrices -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size"), [(n, size) for n in CONSTRAINTS for size in (1, 2, 7, 8) if (n, size) != ("butterflies", 7)]
)
def test_the_weight_is_unitary_for_all_parameters(name, size):
    one = torch.eye(size, dtype=torch.complex128)
    constraint = CONSTRAINTS[name](size).double()
    constraint.reset_parameters()
    for _ in range(3):
        w = constraint()
        assert w.dtype == torch.complex128
        close(w @ w.mH, one)
        scramble(constraint)
    before = constraint()
    constraint.reset_parameters()
    assert not torch.equal(constraint(), before)


def test_urnn_is_the_product_of_its_seven_factors():
    """Arjovsky et al. 2016, equation 6, every factor a matrix of its own."""
    size = 6
    constraint = scramble(FourierProduct(size).double())
    j = np.arange(size)
    fourier = np.exp(-2j * np.pi * np.outer(j, j) / size) / np.sqrt(size)
    d1, d2, d3 = (np.diag(np.exp(1j * theta)) for theta in constraint.theta.detach().numpy())
    parts = constraint.v.detach().numpy()
    r1, r2 = (np.eye(size) - 2 * np.outer(v, v.conj()) / np.vdot(v, v) for v in parts[..., 0] + 1j * parts[..., 1])
    permutation = np.eye(size)[constraint.permutation.numpy()]
    assert sorted(constraint.permutation.tolist()) == j.tolist()
    expected = d3 @ r2 @ fourier.conj().T @ d2 @ permutation @ r1 @ fourier @ d1
    np.testing.assert_allclose(constraint().detach().numpy(), expected, atol=1e-13)


@pytest.mark.parametrize(
    ("size", "layers"), [(6, neighbours(6, 4)), (5, neighbours(5, 3)), (8, butterflies(8))], ids=["even", "odd", "fft"]
)
def test_eunn_is_the_product_of_its_rotations(size, layers):
    constraint = scramble(Rotations(size, layers).double())
    expected, place = np.eye(size), 0
    for pairs in layers:
        factor = np.eye(size, dtype=complex)
        assert len({unit for pair in pairs for unit in pair}) == 2 * len(pairs)
        for a, b in pairs:
            theta, turn = constraint.theta[place].item(), np.exp(1j * constraint.phi[place].item())
            factor[a, a], factor[a, b] = np.cos(theta), -turn * np.sin(theta)
            factor[b, a], factor[b, b] = np.sin(theta), turn * np.cos(theta)
            place += 1
        expected = factor @ expected
    expected = np.diag(np.exp(1j * constraint.omega.detach().numpy())) @ expected
    assert place == len(constraint.theta)
    np.testing.assert_allclose(constraint().detach().numpy(), expected, atol=1e-14)


def rank(constraint):
    """Directions in which the weight moves with the free parameters, at a generic point."""
    parameters = {name: p.detach() for name, p in scramble(constraint.double()).named_parameters()}

    def weight(values):
        return torch.view_as_real(torch.func.functional_call(constraint, values))

    jacobian = torch.func.jacrev(weight)(parameters)
    columns = [part.reshape(-1, p.numel()) for part, p in zip(jacobian.values(), parameters.values(), strict=True)]
    return int(torch.linalg.matrix_rank(torch.cat(columns, 1), rtol=1e-9))


@pytest.mark.parametrize("layers", [2, 4, 6])
def test_eunn_uses_every_parameter_and_reaches_all_unitary_matrices_at_full_capacity(layers):
    size = 6
    constraint = Rotations(size, neighbours(size, layers))
    count = sum(p.numel() for p in constraint.parameters())
    assert count == size * (layers + 1) - layers
    assert rank(constraint) == count
    assert (count == size**2) == (layers == size)


def test_dimensions_of_the_other_sets():
    fft = Rotations(8, butterflies(8))
    assert rank(fft) == sum(p.numel() for p in fft.parameters()) == 8 * 3 + 8
    assert rank(FullUnitary(5)) == 25
    restricted = FourierProduct(8)
    assert sum(p.numel() for p in restricted.parameters()) == 7 * 8
    assert rank(restricted) < 7 * 8


# Full capacity ------------------------------------------------------------------------------------------------


def test_full_urnn_reaches_a_given_unitary_matrix():
    size = 5
    constraint = FullUnitary(size).double()
    goal, base = (FourierProduct(size).double()().detach() for _ in range(2))
    q, one = goal @ base.mH, torch.eye(size)
    z = 2 * torch.linalg.solve(one + q, one - q)
    with torch.no_grad():
        constraint.base.copy_(torch.view_as_real(base))
        constraint.X.copy_((z.real + z.imag) / 2**0.5)
    close(constraint(), goal, 1e-10)


def test_sgd_on_full_urnn_is_wisdom_s_multiplicative_update():
    """Equations 8 and 9 of Wisdom et al. 2016, the step size that of SGD."""
    size, rate = 5, 0.3
    constraint = FullUnitary(size).double()
    constraint.reset_parameters()
    w, target = constraint().detach().requires_grad_(), torch.randn(size, size, dtype=torch.complex128)

    def loss(w):
        return (w - target).abs().pow(3).sum()

    (g,) = torch.autograd.grad(loss(w), w)
    a, one = g @ w.mH - w @ g.mH, torch.eye(size)
    loss(constraint()).backward()
    close(constraint.X.grad, -(a.real + a.imag).detach() / 2**0.5)
    close(constraint.X.grad.norm(), torch.linalg.matrix_norm(a.detach()) / 2**0.5)
    torch.optim.SGD([constraint.X], lr=rate).step()
    close(constraint(), torch.linalg.solve(one + rate / 2 * a, one - rate / 2 * a) @ w)


def test_full_urnn_rebases_after_each_step_and_projects_after_some():
    constraint = FullUnitary(H, project=3).double()
    with torch.no_grad():
        constraint.base += 1e-3 * torch.randn_like(constraint.base)
    one = torch.eye(H, dtype=torch.complex128)
    for step in (1, 2, 3):
        with torch.no_grad():
            constraint.X += 0.1 * data(H, H)
        before = constraint().detach()
        after_step(constraint)
        assert not constraint.X.any()
        error = (constraint() @ constraint().mH - one).abs().max()
        assert (error < 1e-12) == (step == 3)
        close(constraint(), before, 1e-12 if step < 3 else 1e-2)


# modReLU ------------------------------------------------------------------------------------------------------


def test_complex_modrelu_is_the_source_s_and_gradcheck():
    z, b = torch.randn(6, 8, dtype=torch.complex128, requires_grad=True), data(8).requires_grad_()
    modulus = z.abs()
    close(modrelu(z, b), z / (modulus + 1e-5) * torch.relu(modulus + b))
    assert torch.autograd.gradcheck(modrelu, (z, b))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
@pytest.mark.parametrize("bias", [0.5, -0.5])
def test_modrelu_is_0_with_slope_0_at_0(dtype, bias):
    z = torch.zeros(4, dtype=dtype, requires_grad=True)
    b = torch.full((4,), bias, dtype=z.real.dtype, requires_grad=True)
    h = modrelu(z, b)
    h.abs().sum().backward()
    assert not h.any()
    assert not z.grad.any()
    assert not b.grad.any()


@pytest.mark.parametrize("size", [1e-45, 1e-39, 1e-30, 1e-15, 1e-6, 1e-3, 1e18])
def test_complex_modrelu_has_a_bounded_slope(size):
    """Subnormal numbers included, of which torch's sgn and abs make NaN."""
    z = torch.complex(torch.tensor([size, size]), torch.tensor([0.0, -size])).requires_grad_()
    h = modrelu(z, torch.full((2,), 0.01))
    assert h.isfinite().all()
    for part in (h.real.sum(), h.imag.sum()):
        (slope,) = torch.autograd.grad(part, z, retain_graph=True)
        assert (slope.abs() <= 1e3).all()


@every_cell
@pytest.mark.parametrize("dynamics", ["identity", "momentum"])
def test_black_margins_leave_gradients_finite(recurrence, options, dynamics):
    layer = make(recurrence, **options, dynamics=dynamics, dtype=torch.float32)
    with torch.no_grad():
        layer.bias_modrelu_l0.fill_(0.01)
    x_TBD = torch.randn(340, 1, D)
    x_TBD[:120] = x_TBD[150:] = 0  # long enough for 1e3^t to overflow, and for mu^t to become subnormal
    y_TBH, _ = layer(x_TBD)
    y_TBH.sum().backward()
    assert not y_TBH[:120].any()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in layer.parameters())


# Layers -------------------------------------------------------------------------------------------------------


@every_cell
def test_outputs_are_real_parts_then_imaginary_parts_of_a_loop_by_hand(recurrence, options):
    layer = make(recurrence, **options)
    x_TBD = data(T, B, D)
    y_TBH, state = layer(x_TBD)
    w, h = layer.weights(0), torch.zeros(B, H, dtype=torch.complex128)
    for t in range(T):
        pre = x_TBD[t].to(h) @ layer.weight_ih_l0.T + (w.w_hh @ h.T).T
        h = modrelu(pre, layer.bias_modrelu_l0)
        close(y_TBH[t], torch.cat([h.real, h.imag], 1))
    close(state.h[0], h)
    assert y_TBH.shape == (T, B, 2 * H)
    assert h.imag.any()


@pytest.mark.parametrize("recurrence", ["full_urnn", "eunn"])
def test_real_parameters_and_input_keep_the_layer_real(recurrence):
    layer = make(recurrence)
    own = layer.weight_hh_l0
    with torch.no_grad():
        layer.weight_ih_l0.imag.zero_()
        if recurrence == "eunn":
            own.phi.zero_()
            own.omega.zero_()
        else:
            own.base.copy_(torch.stack([torch.linalg.qr(data(H, H))[0], torch.zeros(H, H)], -1))
            own.X.copy_(torch.randn(H, H).tril(-1))
            own.X.sub_(own.X.mT.clone())
    y_TBH, _ = layer(data(T, B, D))
    assert not y_TBH[..., H:].any()
    assert y_TBH[..., :H].all()


@every_cell
@pytest.mark.parametrize("dynamics", ["identity", "adam"])
def test_gradcheck_in_complex128(recurrence, options, dynamics):
    layer = make(recurrence, **options, dynamics=dynamics)
    with torch.no_grad():
        layer.weight_ih_l0 /= layer.weight_ih_l0.abs()
    parameters = dict(layer.named_parameters())
    x_TBD = (1 + data(3, 1, D).abs()).requires_grad_()

    def function(x_TBD, *tensors):
        y_TBH, state = torch.func.functional_call(layer, dict(zip(parameters, tensors, strict=True)), (x_TBD,))
        return y_TBH, state.h

    assert torch.autograd.gradcheck(function, (x_TBD, *parameters.values()))


@every_cell
def test_both_values_of_init_are_the_source_s(recurrence, options):
    bound = {"urnn": (6 / (40 + 64)) ** 0.5, "full_urnn": (6 / (40 + 128)) ** 0.5, "eunn": 0.01}[recurrence]
    results = []
    for init in ("torch", "released"):
        torch.manual_seed(1)
        layer = mx.Recurrent(40, 64, recurrence=recurrence, init=init, **options)
        results.append(layer.state_dict())
        parts = torch.view_as_real(layer.weight_ih_l0.detach())
        assert 0.99 * bound < parts.abs().max() <= bound
        close(parts.var((0, 1)), torch.full((2,), bound**2 / 3), 0.1 * bound**2)
        assert layer.bias_modrelu_l0.abs().max() <= (0 if recurrence == "eunn" else 0.01)
    assert all(torch.equal(a, b) for a, b in zip(*(r.values() for r in results), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation_style": "butterfly"}, "write one of: tunable, fft"),
        ({"capacity": 0}, "capacity=0 is out of range: an integer >= 1"),
        ({"capacity": 4, "rotation_style": "fft"}, "capacity=4 has no effect with rotation_style=fft"),
        ({"hidden_size": 6, "rotation_style": "fft"}, "hidden_size=6 is not a power of two.*write hidden_size=8"),
        ({"recurrence": "full_urnn", "project": 0}, "project=0 is out of range"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        mx.Recurrent(**{"input_size": D, "hidden_size": H, "recurrence": "eunn", **options})


# Dynamics -----------------------------------------------------------------------------------------------------


@every_cell
def test_momentum_without_memory_is_the_plain_cell(recurrence, options):
    plain, momentum = make(recurrence, **options), make(recurrence, **options, dynamics="momentum", mu=0.0, s=1.0)
    momentum.load_state_dict(plain.state_dict())
    x_TBD = data(T, B, D)
    assert torch.equal(momentum(x_TBD)[0], plain(x_TBD)[0])


@pytest.mark.parametrize("eps", ["released", "paper"])
def test_m_averages_the_square_of_the_modulus(eps):
    """Adam's drive by hand; turning g by a common phase then turns u and leaves m."""
    mu, s, beta = 0.7, 0.5, 0.8
    layer = make("urnn", dynamics="adam", mu=mu, s=s, beta=beta, eps=eps)
    x_TBD = data(T, B, D)
    v, m, h, w_hh = 0, 0, torch.zeros(B, H, dtype=torch.complex128), layer.weight_hh_l0()
    for t in range(T):
        g = x_TBD[t] @ layer.weight_ih_l0.real.T + 1j * (x_TBD[t] @ layer.weight_ih_l0.imag.T)
        v, m = mu * v + s * g, beta * m + (1 - beta) * (g.real**2 + g.imag**2)
        u = v / (m + 1e-16).sqrt() if eps == "released" else v / (m.sqrt() + 1e-8)
        h = modrelu(u + h @ w_hh.T, layer.bias_modrelu_l0)
    y_TBH, state = layer(x_TBD)
    close(torch.complex(*y_TBH[-1].split(H, 1)), h)
    assert state.m.dtype == torch.float64
    close(state.m[0], m)
    close(state.v[0], v)
    turn = np.exp(0.3j)
    with torch.no_grad():
        layer.weight_ih_l0 *= turn
    _, turned = layer(x_TBD)
    close(turned.m, state.m)
    close(turned.v, turn * state.v)


# Precision, devices, training ---------------------------------------------------------------------------------


@every_cell
def test_precision(recurrence, options):
    """A real dtype, wherever one is given, leaves complex parameters and states complex; autocast changes nothing."""
    layer = make(recurrence, **options, dynamics="adam", dtype=torch.float32)
    x_TBD = torch.randn(T, B, D)
    y_TBH, state = layer(x_TBD)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        same_TBH, _ = layer(x_TBD)
        assert torch.equal(layer(x_TBD.bfloat16().float(), state)[0], layer(x_TBD.bfloat16(), state)[0])
    assert torch.equal(same_TBH, y_TBH)
    assert state.v.dtype == state.h.dtype == torch.complex64
    again_TBH, _ = layer(x_TBD, state)
    for wide in (copy.deepcopy(layer).double(), copy.deepcopy(layer).to(torch.float64)):
        assert wide.weight_ih_l0.dtype == torch.complex128
        assert torch.equal(wide.weight_ih_l0, layer.weight_ih_l0.to(torch.complex128))
        wide_TBH, _ = wide(x_TBD.double(), state.to(dtype=torch.float64))
        torch.testing.assert_close(wide_TBH.float(), again_TBH, rtol=1e-4, atol=1e-5)
    half = make(recurrence, **options, dtype=torch.bfloat16)
    assert half(x_TBD.bfloat16())[1].h.dtype == state.to(dtype=torch.bfloat16).h.dtype == torch.complex64


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.complex128])
def test_an_input_that_complex_weights_cannot_hold_is_refused(dtype):
    layer = make("urnn", dtype=torch.float32)
    with pytest.raises(ValueError, match=rf"input of {dtype}: .* write x.to\(torch.float32\)"):
        layer(torch.ones(T, B, D).to(dtype))


def test_gradient_norms_through_time_count_both_parts():
    """Against the same cell in real arithmetic, with [Re h, Im h] as its state."""
    task = Classification(make("urnn", batch_first=True), 3).double()
    x_BTD, targets_B = data(B, T, D), torch.tensor([0, 2, 1])
    flow = measure_flow(task, Batch(x_BTD, targets_B))
    w_ih, w_hh = task.cell.weight_ih_l0, task.cell.weight_hh_l0()
    composite = torch.cat([torch.cat([w_hh.real, -w_hh.imag], 1), torch.cat([w_hh.imag, w_hh.real], 1)])
    h, states = torch.zeros(B, 2 * H, dtype=torch.float64), []
    for t in range(T):
        z = x_BTD[:, t] @ torch.cat([w_ih.real, w_ih.imag]).T + h @ composite.T
        modulus = (z[:, :H] ** 2 + z[:, H:] ** 2).sqrt()
        h = z * (torch.relu(modulus + task.cell.bias_modrelu_l0) / (modulus + 1e-5)).repeat(1, 2)
        states.append(h)
    loss = torch.nn.functional.cross_entropy(task.readout(h), targets_B)
    expected = [B * grad.norm(dim=1).mean() for grad in torch.autograd.grad(loss, states)]
    torch.testing.assert_close(flow.norms["h_l0"], torch.stack(expected).float())


@pytest.mark.parametrize("name", ["rmsprop", "adam", "adamw", "sgd"])
@every_cell
def test_training_goes_on_from_a_checkpoint(recurrence, options, name):
    """Complex parameters and what optimizers keep of them; clipping counts both parts."""
    layer = mx.Recurrent(D, H, recurrence=recurrence, dynamics="adam", learn=["mu"], **options)
    config = OptimizerConfig(name=name, lr=0.01, lr_orthogonal=0.02, momentum=0.9 if name == "sgd" else None)
    assert sum(p.numel() for p in parameter_groups(layer)["orthogonal"]) == sum(
        p.numel() for p in layer.weight_hh_l0.parameters()
    )
    x_TBD = torch.randn(T, B, D)

    def train(layer, optimizer):
        optimizer.zero_grad()
        layer(x_TBD)[0].square().mean().backward()
        parts = [torch.view_as_real(p.grad) if p.is_complex() else p.grad for p in layer.parameters()]
        norm = torch.cat([part.flatten() for part in parts]).norm()
        torch.testing.assert_close(clip_grad_norm_(layer.parameters(), 1.0), norm)
        optimizer.step()

    optimizer = build_optimizer(layer, config)
    before = copy.deepcopy(layer.state_dict())
    train(layer, optimizer)
    file = io.BytesIO()
    torch.save({"layer": layer.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(layer, optimizer)
    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    again = mx.Recurrent(D, H, recurrence=recurrence, dynamics="adam", learn=["mu"], **options)
    resumed = build_optimizer(again, config)
    again.load_state_dict(saved["layer"])
    resumed.load_state_dict(saved["optimizer"])
    train(again, resumed)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), layer.parameters(), strict=True))
    moved = [key for key, value in layer.state_dict().items() if not torch.equal(value, before[key])]
    assert {"weight_ih_l0", "bias_modrelu_l0"} <= set(moved)
    assert any(key.startswith("weight_hh_l0") and "steps" not in key for key in moved)
