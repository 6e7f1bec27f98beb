"""The compiled kernel is precise: its gradients in float32, its activations, narrow numbers."""

import numpy as np
import pytest
import torch
from native_layers import layers

from momentum_exp.engines.compiled import native_library


@pytest.mark.parametrize("pair", ["lstm momentum", "lstm adam", "srlstm_released identity", "dtriv momentum"])
def test_float32_is_as_exact_as_torch(pair):
    """Gradients' error against the float64 loop: at most twice that of torch.nn.LSTM against its own.

    modReLU's jumps make any float32 gradient worse: there the bound is the float32 loop's error.
    """
    torch.manual_seed(0)
    x, hidden = torch.rand(784, 6, 1), 24

    def error(layer, exact):
        exact.load_state_dict(layer.state_dict())
        both = []
        for module in (layer, exact):
            y, _ = module(x.to(module.weight_ih_l0.dtype))
            both.append([g.double() for g in torch.autograd.grad(y.square().mean(), list(module.parameters()))])
        return max(((a - b).norm() / b.norm()).item() for a, b in zip(*both, strict=True))

    recurrence, dynamics = pair.split()
    loop, native = layers(recurrence, dynamics, (1, hidden), torch.float32)
    (exact,) = layers(recurrence, dynamics, (1, hidden), torch.float64, ("reference",))
    bound = error(torch.nn.LSTM(1, hidden), torch.nn.LSTM(1, hidden, dtype=torch.float64))
    assert error(native, exact) <= 2 * (error(loop, exact) if recurrence == "dtriv" else bound)


@pytest.mark.parametrize("number", ["float", "double"])
@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_activations_are_within_3_ulp(function, number):
    """Of the exact value, for normal results; what is smaller than the smallest normal number may be 0."""
    dtype = torch.float32 if number == "float" else torch.float64
    grids = [torch.linspace(-scale, scale, 400_001, dtype=dtype) for scale in (1e-30, 1e-3, 1, 20, 120, 800)]
    x = torch.cat([*grids, torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan")], dtype=dtype)])
    y = torch.empty_like(x)
    getattr(native_library(), f"map_{number}")(x.data_ptr(), y.data_ptr(), len(x), function == "tanh")
    wide = x.numpy().astype(np.longdouble)
    with np.errstate(over="ignore"):
        exact = np.tanh(wide) if function == "tanh" else 1 / (1 + np.exp(-wide))
    tiny = torch.finfo(dtype).tiny
    ulp = np.spacing(np.maximum(np.abs(exact), tiny).astype(x.numpy().dtype)).astype(np.longdouble)
    error = np.abs(y.numpy() - exact)
    finite = ~np.isnan(exact)
    assert (error[finite] <= np.maximum(2.6 * ulp, tiny)[finite]).all()
    assert torch.equal(y.isnan(), x.isnan())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_numbers_are_computed_in_float32(dtype):
    torch.manual_seed(0)
    (native,) = layers("lstm", "momentum", (2, 5), dtype, ("native",))
    x = torch.randn(7, 3, 2, dtype=dtype)
    y, state = native(x)
    exact, exact_state = native.float()(x.float())
    assert y.dtype == state.h.dtype == dtype
    assert torch.equal(y, exact.to(dtype))
    assert torch.equal(state.v, exact_state.v)
