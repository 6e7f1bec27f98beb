"""The unitary cells: complex arithmetic through the whole layer and its dynamics, by hand."""

import numpy as np
import pytest
import torch
from double_precision import data
from unitary_layers import B, D, H, T, close, every_cell, make

import momentum_exp as mx
from momentum_exp.cells.recurrences.modrelu import modrelu

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
