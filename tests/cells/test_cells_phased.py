"""The phased LSTM's time gate: by hand, between the peephole LSTM and the former state, and its parameters."""

import pytest
import torch
from double_precision import close, data
from gated_layers import B, D, H, T, copy_into, make, phased

import momentum_exp as mx
from momentum_exp.cells.recurrences.phased import Phased, time_gate


@pytest.mark.parametrize(
    ("time", "k"),
    [
        (3.0, 0.0),  # phase 0
        (3.5, 0.5),  # phase 0.05, a quarter of r_on = 0.2
        (4.0, 1.0),  # phase 0.1, the middle
        (4.5, 0.5),  # phase 0.15
        (5.0, 0.01 * 0.2),  # closed from phase r_on on
        (8.0, 0.01 * 0.5),
        (12.0, 0.01 * 0.9),
        (14.0, 1.0),  # one period later
        (-6.0, 1.0),  # before the shift
        (1003.5, 0.5),
    ],
)
def test_time_gate_by_hand(time, k):
    """Period 10, shift 3, r_on 0.2, leak 0.01."""
    number = torch.float64
    time_B, period_H, shift_H = (torch.tensor([value], dtype=number) for value in (time, 10.0, 3.0))
    close(time_gate(time_B, period_H, shift_H, 0.2, 0.01).item(), k, rtol=0, atol=1e-12)


def test_each_unit_has_its_own_period_and_shift():
    time_B = torch.tensor([0.0, 1.0, 2.0])
    k_BH = time_gate(time_B, torch.tensor([4.0, 2.0]), torch.tensor([0.0, 1.0]), 1.0, 0.0)
    assert torch.equal(k_BH, torch.tensor([[0.0, 1.0], [0.5, 0.0], [1.0, 1.0]]))


def test_an_open_gate_leaves_the_peephole_lstm():
    """Period 1, shift 1/2, r_on 1: every integer falls on phase 1/2, where k = 1."""
    layer, peephole = phased(1.0, 0.5, r_on=1.0), make("peephole")
    copy_into(layer, peephole, log_period_l0=0, shift_l0=0.5)
    x_TBD = data(T, B, D)
    (y_TBH, end), (expected_TBH, expected) = layer(x_TBD), peephole(x_TBD)
    assert torch.equal(y_TBH, expected_TBH)
    assert torch.equal(end.c, expected.c)


def test_a_closed_gate_without_leak_holds_the_state():
    layer = phased(1.0, 0.5, r_on=0.1, leak=0.0)
    h, c = data(1, B, H), data(1, B, H)
    y_TBH, end = layer(data(T, B, D), (h, c))
    assert torch.equal(y_TBH, h.expand(T, B, H))
    assert torch.equal(end.c, c)


@pytest.mark.parametrize("dynamics", ["identity", "adam"])
def test_phased_mixes_the_peephole_lstm_with_the_former_state(dynamics):
    layer = phased(7.0, 1.2, dynamics=dynamics, r_on=0.6, leak=0.1)
    peephole = make("peephole", dynamics=dynamics)
    peephole.load_state_dict({name: layer.state_dict()[name] for name in peephole.state_dict()})
    zero = torch.zeros(1, B, H, dtype=torch.float64)
    x_TBD, state, gated = data(T, B, D), mx.State({"h": zero, "c": zero}), []
    y_TBH, _ = layer(x_TBD)
    for t in range(T):
        phase = ((t - 1.2) / 7.0) % 1.0
        k = 2 * phase / 0.6 if phase < 0.3 else 2 - 2 * phase / 0.6 if phase < 0.6 else 0.1 * phase
        gated.append(k)
        _, new = peephole(x_TBD[t : t + 1], state)
        mixed = {name: k * new.recurrence[name] + (1 - k) * state.recurrence[name] for name in ("h", "c")}
        state = mx.State(mixed, new.dynamics)
        close(y_TBH[t], state.h[0])
    assert max(gated) > 0.7
    assert min(gated) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_on": 0.0}, "r_on=0.0 is out of range: 0 < r_on <= 1"),
        ({"r_on": 1.5}, "r_on=1.5"),
        ({"leak": -0.1}, "leak=-0.1 is out of range: 0 <= leak < 1"),
        ({"leak": 1.0}, "leak=1.0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Phased(**options)


def test_periods_and_shifts_start_where_the_source_says():
    layer = mx.Recurrent(1, 4000, recurrence="phased")
    assert layer.log_period_l0.min() >= 1
    assert layer.log_period_l0.max() <= 5
    assert abs(layer.log_period_l0.mean().item() - 3) < 0.1
    share = layer.shift_l0 / layer.log_period_l0.exp()
    assert share.min() >= 0
    assert share.max() <= 1
    assert abs(share.mean().item() - 0.5) < 0.03
    assert abs(layer.weight_peephole_l0.std().item() - 0.1) < 0.01


def test_period_and_shift_are_learned():
    layer = phased(7.3, 0.45, r_on=0.6)
    names = [name for name, _ in layer.named_parameters()]
    gradients = torch.autograd.grad(layer(data(T, B, D))[0].sum(), list(layer.parameters()))
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient.abs().min() > 0, name
