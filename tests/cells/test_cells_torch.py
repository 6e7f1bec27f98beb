"""The LSTM against torch.nn.LSTM: the same module but for its name."""

from functools import partial

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import momentum_exp as mx

D, H, T, B = 3, 4, 9, 2


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"bias": False},
        {"batch_first": True},
        {"num_layers": 2},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["dense", "packed"])
def test_lstm_is_torch_s_bit_for_bit(shape, kind):
    """Same seed, same parameters; with the library engine, same outputs, states and gradients, dropout included.

    Only packed sequences in reverse are batched otherwise by torch: there equality is to rounding.
    """
    results = []
    for module in (torch.nn.LSTM, partial(mx.LSTM, engine="library")):
        torch.manual_seed(1)
        layer = module(D, H, **shape)
        x = torch.randn(7, 4, D).requires_grad_()
        lengths = torch.tensor([3, 7, 1, 7])
        y, (h, c) = layer(pack_padded_sequence(x, lengths, enforce_sorted=False) if kind == "packed" else x)
        y = y.data if isinstance(y, PackedSequence) else y
        (y.sin().sum() + h.sum() + c.sum()).backward()
        results.append([y, h, c, x.grad, *(p for p in layer.parameters()), *(p.grad for p in layer.parameters())])
    for torchs, ours in zip(*results, strict=True):
        if kind == "packed" and "bidirectional" in shape:
            torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-5)
        else:
            assert torch.equal(ours, torchs)


def test_dropout_is_torch_s_bit_for_bit():
    layers = [torch.nn.LSTM(D, H, 3, dropout=0.5), mx.LSTM(D, H, 3, dropout=0.5, engine="library")]
    layers[1].load_state_dict(layers[0].state_dict())
    x_TBD = torch.randn(T, B, D)
    outputs = []
    for layer in layers:
        torch.manual_seed(1)
        outputs.append([layer(x_TBD)[0], layer(x_TBD)[0], layer.eval()(x_TBD)[0]])
    assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))
    assert not torch.equal(outputs[1][0], outputs[1][1])


@pytest.mark.parametrize("cell", [mx.LSTM, mx.MomentumLSTM])
def test_state_dict_moves_both_ways(cell):
    shape = {"num_layers": 2, "bidirectional": True}
    ours, torchs = cell(D, H, **shape), torch.nn.LSTM(D, H, **shape)
    torchs.load_state_dict(ours.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), torchs.parameters(), strict=True))
    ours.reset_parameters()
    ours.load_state_dict(torchs.state_dict())
    assert list(ours.state_dict()) == list(torchs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), torchs.parameters(), strict=True))


@pytest.mark.parametrize("engine", ["reference", "library"])
@pytest.mark.parametrize("options", [{"dynamics": "nesterov", "restart": 1}, {"dynamics": "momentum", "mu": 0.0}])
def test_without_memory_the_step_size_scales_the_input_weights(engine, options):
    cell = mx.Recurrent(D, H, engine=engine, s=0.7, dtype=torch.float64, **options)
    weights = cell.state_dict()
    plain = torch.nn.LSTM(D, H, dtype=torch.float64)
    plain.load_state_dict({name: 0.7 * w if "_ih" in name else w for name, w in weights.items()})
    x_TBD = torch.randn(T, B, D, dtype=torch.float64)
    torch.testing.assert_close(cell(x_TBD)[0], plain(x_TBD)[0], rtol=1e-10, atol=1e-12)


def test_forget_bias_on_torch_s_init():
    torch.manual_seed(3)
    plain = torch.nn.LSTM(D, H)
    torch.manual_seed(3)
    layer = mx.LSTM(D, H, forget_bias=2.0)
    for name, parameter in plain.named_parameters():
        expected = parameter.detach().clone()
        if name.startswith("bias"):
            expected[H : 2 * H] = 2.0
        assert torch.equal(getattr(layer, name), expected)
