"""modReLU: its values and slopes, also at 0 and where torch's own make NaN."""

import pytest
import torch
from double_precision import data
from unitary_layers import D, close, every_cell, make

from momentum_exp.cells.recurrences.modrelu import modrelu


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
