"""GRU and plain RNN: torch's modules bit for bit, whatever the engine, and what torch has not by a loop."""

import pytest
import torch
from double_precision import close, data
from gated_layers import B, D, H, T, make
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import momentum_exp as mx

DYNAMICS = {
    "identity": {},
    "momentum": {"mu": 0.6, "s": 0.8},
    "nesterov": {"s": 0.9, "restart": 3},
    "rmsprop": {"s": 0.6, "beta": 0.5},
    "adam": {"mu": 0.5, "s": 0.6, "beta": 0.5},
}
SHAPES = [{}, {"bias": False}, {"num_layers": 2, "batch_first": True}, {"bidirectional": True}]


def results(layer, kind):
    """Outputs, last h and all gradients of one pass over inputs drawn from a fixed seed."""
    torch.manual_seed(2)
    x = torch.randn(7, 4, D, dtype=next(layer.parameters()).dtype)
    x = (x.transpose(0, 1) if layer.batch_first and kind == "dense" else x).clone().requires_grad_()
    lengths = torch.tensor([3, 7, 1, 7])
    y, state = layer(x if kind == "dense" else pack_padded_sequence(x, lengths, enforce_sorted=False))
    h = state if isinstance(state, torch.Tensor) else state.h
    y = y.data if isinstance(y, PackedSequence) else y
    (y.sin().sum() + h.sum()).backward()
    return [y, h, x.grad, *(parameter.grad for parameter in layer.parameters())]


TORCHS = {
    "gru": (torch.nn.GRU, {}, {"recurrence": "gru"}),
    "rnn, tanh": (torch.nn.RNN, {}, {"recurrence": "rnn"}),
    "rnn, relu": (torch.nn.RNN, {"nonlinearity": "relu"}, {"recurrence": "rnn", "activation": "relu"}),
}


@pytest.mark.parametrize("kind", ["dense", "packed"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", TORCHS)
def test_it_is_torch_s_bit_for_bit(name, shape, kind):
    """Same seed, same parameters, outputs, states and gradients.

    But to rounding in the reverse direction, where torch adds up the parameters' gradients in another order, and
    batches packed sequences otherwise.
    """
    module, theirs, ours = TORCHS[name]
    torch.manual_seed(1)
    torchs = module(D, H, **shape, **theirs)
    torch.manual_seed(1)
    layer = mx.Recurrent(D, H, engine="library", **shape, **ours)
    assert all(torch.equal(a, b) for a, b in zip(torchs.parameters(), layer.parameters(), strict=True))
    same = {"dense": 3, "packed": 0}[kind] if "bidirectional" in shape else None  # the first 3: y, h, x's gradient
    expected, result = results(torchs, kind), results(layer, kind)
    assert all(torch.equal(a, b) for a, b in zip(result[:same], expected[:same], strict=True))
    close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "packed"])
@pytest.mark.parametrize("name", TORCHS)
def test_the_loop_is_torch_s_to_rounding(name, kind):
    module, theirs, ours = TORCHS[name]
    torchs = module(D, H, 2, dtype=torch.float64, **theirs)
    layer = make(num_layers=2, engine="reference", **ours)
    layer.load_state_dict(torchs.state_dict())
    close(results(layer, kind), results(torchs, kind))


@pytest.mark.parametrize("name", TORCHS)
def test_state_dict_moves_both_ways(name):
    module, theirs, ours = TORCHS[name]
    shape = {"num_layers": 2, "bidirectional": True}
    layer, torchs = mx.Recurrent(D, H, **shape, **ours), module(D, H, **shape, **theirs)
    torchs.load_state_dict(layer.state_dict())
    layer.reset_parameters()
    layer.load_state_dict(torchs.state_dict())
    assert list(layer.state_dict()) == list(torchs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), torchs.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["dense", "packed"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("recurrence", ["gru", "rnn"])
def test_library_equals_reference(recurrence, dynamics, shape, kind):
    reference, library = (
        make(recurrence, dynamics=dynamics, engine=engine, **DYNAMICS[dynamics], **shape)
        for engine in ("reference", "library")
    )
    library.load_state_dict(reference.state_dict())
    for expected, result in zip(results(reference, kind), results(library, kind), strict=True):
        close(result, expected, atol=1e-12 * max(1, expected.abs().max().item()))


def test_sigmoid_rnn_by_a_loop():
    layer = make("rnn", activation="sigmoid")
    x_TBD, h_BH, outputs = data(T, B, D), torch.zeros(B, H, dtype=torch.float64), []
    for x_BD in x_TBD:
        pre_BH = x_BD @ layer.weight_ih_l0.T + h_BH @ layer.weight_hh_l0.T + layer.bias_ih_l0 + layer.bias_hh_l0
        h_BH = 1 / (1 + (-pre_BH).exp())
        outputs.append(h_BH)
    close(layer(x_TBD)[0], torch.stack(outputs))


def test_irnn_starts_at_the_identity():
    layer = mx.Recurrent(D, H, recurrence="rnn", activation="relu", init="released")
    assert torch.equal(layer.weight_hh_l0, torch.eye(H))
    assert not layer.bias_ih_l0.any()
    assert not layer.bias_hh_l0.any()
    h_BH = torch.rand(1, B, H)
    y_TBH, _ = layer(torch.zeros(T, B, D), h_BH)
    assert torch.equal(y_TBH, h_BH.expand(T, B, H))
