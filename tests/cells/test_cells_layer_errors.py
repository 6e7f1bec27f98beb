"""What a layer refuses, by a message that says what to write: options, inputs, states."""

import pytest
import torch
from double_precision import data
from lstm_layers import B, D, H, T, make
from torch.nn.utils.rnn import pack_sequence

import momentum_exp as mx


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"dynamics": "momentum", "mu": 1.0}, "mu=1.0 is out of range: 0 <= mu < 1"),
        ({"mu": 0.5}, "mu=0.5 has no effect for recurrence=lstm, dynamics=identity, which takes no options"),
        ({"dynamics": "momentum", "beta": 0.5}, "which takes mu, s; leave beta out"),
        ({"dynamics": "sgd"}, "dynamics=sgd is unknown; write one of: adam, identity, momentum, nesterov, rmsprop"),
        ({"recurrence": "lsmt"}, "recurrence=lsmt is unknown; write one of: .*lstm, .*srlstm_released"),
        ({"recurrence": "srlstm_released", "dynamics": "adam"}, "write dynamics=identity"),
        ({"recurrence": "srlstm_released", "engine": "library"}, "no fused kernel.*write engine=auto"),
        ({"recurrence": "srlstm_released", "restart": -1}, "restart=-1"),
        ({"engine": "cuda"}, "engine=cuda is unknown; write one of: auto, cudagraph, library, native, reference"),
        ({"init": "xavier"}, "init=xavier is unknown; write one of: torch, released"),
        ({"dropout": 1.5}, "dropout=1.5"),
        ({"num_layers": 0}, "num_layers=0"),
        ({"forget_bias": 1.0, "bias": False}, "forget_bias=1.0 has no effect"),
    ],
)
def test_wrong_options(keywords, message):
    with pytest.raises(ValueError, match=message):
        mx.Recurrent(D, H, **keywords)


def test_dropout_without_effect_warns():
    with pytest.warns(UserWarning, match="no effect with num_layers=1"):
        mx.LSTM(D, H, dropout=0.5)


@pytest.mark.parametrize("shape", [(T, B, D + 1), (T,), (0, B, D), (T, 0, D), (1, T, B, D)])
def test_wrong_input(shape):
    with pytest.raises(ValueError, match=r"expected \(T, B, D\) or \(T, D\)"):
        make("lstm")(data(*shape))


def test_wrong_packed_input():
    with pytest.raises(ValueError, match="PackedSequence"):
        make("lstm")(pack_sequence([data(3, D + 1)]))


@pytest.mark.parametrize("engine", ["reference", "library", "native"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.complex128])
def test_an_input_of_another_type_is_refused(engine, dtype):
    layer = make("momentum", engine)
    with pytest.raises(ValueError, match=rf"input of {dtype}: .* write x.to\(torch.float64\)"):
        layer(torch.ones(T, B, D).to(dtype))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((torch.zeros(2, B, H), torch.zeros(1, B, H)), r"state h of shape \(2, 2, 4\): expected \(1, 2, 4\)"),
        (mx.State({}, {"v": torch.zeros(1, B, H)}), r"state v of shape"),
        (mx.State({}, {"m": torch.zeros(1, B, 4 * H)}), "state has m, but this layer's state is v"),
        (mx.State({"y": torch.zeros(1, B, H)}), "state has y, but this layer's state is h, c"),
        ((torch.zeros(1, B, H),) * 3, "state of 3 tensors: expected h, c"),
        (torch.zeros(1, B, H), "state of 1 tensors: expected h, c"),
    ],
)
def test_wrong_state(state, message):
    with pytest.raises(ValueError, match=message):
        make("momentum")(data(T, B, D), state)
