"""Complex parameters in training: precision, gradient norms, optimizers, clipping, checkpoints."""

import copy
import io

import pytest
import torch
from double_precision import data
from torch.nn.utils import clip_grad_norm_
from unitary_layers import B, D, H, T, every_cell, make

import momentum_exp as mx
from momentum_exp.cells import parameter_groups
from momentum_exp.config import OptimizerConfig
from momentum_exp.data import Batch
from momentum_exp.diagnostics.gradient_flow import measure_flow
from momentum_exp.tasks.classification import Classification
from momentum_exp.training.optimizers import build_optimizer


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
