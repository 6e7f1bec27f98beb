"""What is special about each gated recurrence: against torch's modules, against each other and against plain loops."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import momentum_exp as mx
from momentum_exp.cells.recurrences.phased import Phased, time_gate
from momentum_exp.cells.recurrences.working_memory import log_activation

D, H, T, B = 3, 4, 6, 2
DYNAMICS = {
    "identity": {},
    "momentum": {"mu": 0.6, "s": 0.8},
    "nesterov": {"s": 0.9, "restart": 3},
    "rmsprop": {"s": 0.6, "beta": 0.5},
    "adam": {"mu": 0.5, "s": 0.6, "beta": 0.5},
}
SHAPES = [{}, {"bias": False}, {"num_layers": 2, "batch_first": True}, {"bidirectional": True}]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make(recurrence, **keywords):
    return mx.Recurrent(D, H, recurrence=recurrence, dtype=torch.float64, **keywords)


def data(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def close(a, b, **tolerance):
    torch.testing.assert_close(a, b, **{"rtol": 1e-10, "atol": 1e-12, **tolerance})


def copy_into(layer, other, **values):
    """The state_dict of `other` in `layer`, whose further parameters get `values`."""
    extra = {name: torch.full_like(layer.state_dict()[name], value) for name, value in values.items()}
    layer.load_state_dict({**other.state_dict(), **extra})


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


# torch's modules ----------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize(
    ("recurrence", "block"), [("gru", 0), ("peephole", 1), ("phased", 1), ("working_memory", 1)], ids=str
)
def test_the_released_init_opens_one_gate(recurrence, block):
    layer = mx.Recurrent(D, H, recurrence=recurrence, init="released")
    ones = torch.zeros(layer.recurrence.gate_blocks, H)
    ones[block] = 1
    assert torch.equal(layer.bias_ih_l0, ones.flatten())
    assert torch.equal(layer.bias_hh_l0, ones.flatten())


# Gates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recurrence", "blocks"),
    [("gru", "rzn"), ("lstm_no_forget", "igo"), ("peephole", "ifgo"), ("phased", "ifgo"), ("working_memory", "imgo")],
)
def test_gates_are_named_in_the_order_of_their_blocks(recurrence, blocks):
    levels = {block: 0.1 * (k + 1) for k, block in enumerate(blocks)}
    pre_BG = torch.cat([torch.full((B, H), level).logit() for level in levels.values()], 1)
    gates = make(recurrence).recurrence.gates(pre_BG)
    assert list(gates) == [block for block in blocks if block not in "gn"]
    for gate, values_BH in gates.items():
        torch.testing.assert_close(values_BH, torch.full((B, H), levels[gate]))


ANSWERS = {
    "gru": lambda v, old: {"h": (1 - v["z"]) * v["n"].tanh() + v["z"] * old["h"]},
    "lstm_no_forget": lambda v, old: {"c": old["c"] + v["i"] * v["g"].tanh()},
    "peephole": lambda v, old: {"c": v["f"] * old["c"] + v["i"] * v["g"].tanh()},
}


@pytest.mark.parametrize("recurrence", ANSWERS)
def test_the_next_state_follows_from_what_enters_the_gates(recurrence):
    """pre_BG holds all that enters the non-linearities: the states follow from it and the former state."""
    layer, seen = make(recurrence, dynamics="momentum"), []
    with layer.observe(lambda *event: seen.append(event[3:])):
        layer(data(T, B, D))
    candidate = 2 if recurrence != "lstm_no_forget" else 1
    for (_, old), (pre_BG, new) in pairwise(seen):
        values = layer.recurrence.gates(pre_BG)
        values |= dict.fromkeys("gn", pre_BG.chunk(layer.recurrence.gate_blocks, 1)[candidate])
        for name, expected in ANSWERS[recurrence](values, old).items():
            close(new[name], expected)
        if "c" in new:
            close(new["h"], values["o"] * new["c"].tanh())


# The LSTM's relatives -----------------------------------------------------------------------------------------


def test_without_forget_gate_is_the_lstm_with_it_held_open():
    cell, lstm = make("lstm_no_forget", dynamics="adam"), make("lstm", dynamics="adam")
    open_forget = {"weight_ih": 0.0, "weight_hh": 0.0, "bias_ih": 0.0, "bias_hh": 100.0}
    blocks = {}
    for name, value in open_forget.items():
        i, g, o = cell.state_dict()[name + "_l0"].chunk(3)
        blocks[name + "_l0"] = torch.cat([i, torch.full_like(i, value), g, o])
    lstm.load_state_dict(blocks)
    x_TBD = data(T, B, D)
    (y_TBH, end), (expected_TBH, expected) = cell(x_TBD), lstm(x_TBD)
    close(y_TBH, expected_TBH)
    close(end.c, expected.c)


@pytest.mark.parametrize("dynamics", ["identity", "nesterov"])
def test_zero_peepholes_leave_the_lstm(dynamics):
    cell, lstm = make("peephole", dynamics=dynamics), make("lstm", dynamics=dynamics, engine="reference")
    copy_into(cell, lstm, weight_peephole_l0=0)
    x_TBD = data(T, B, D)
    assert torch.equal(cell(x_TBD)[0], lstm(x_TBD)[0])
    assert torch.equal(cell(x_TBD)[1].c, lstm(x_TBD)[1].c)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def arrays(layer):
    """The parameters of a single layer as numpy arrays, by their names without `_l0`."""
    return {name.removesuffix("_l0"): tensor.numpy() for name, tensor in layer.state_dict().items()}


def blocks_of(x, h, p):
    """The four blocks of W x + b_ih + U h + b_hh for one sequence at one step."""
    return np.split(p["weight_ih"] @ x + p["bias_ih"] + p["weight_hh"] @ h + p["bias_hh"], 4)


def test_peephole_by_a_loop():
    layer = make("peephole")
    p, x_TBD = arrays(layer), data(T, B, D)
    y_TBH, end = layer(x_TBD)
    for b in range(B):
        h, c = np.zeros(H), np.zeros(H)
        for t in range(T):
            i, f, g, o = blocks_of(x_TBD[t, b].numpy(), h, p)
            i, f = sigmoid(i + p["weight_peephole"][0] * c), sigmoid(f + p["weight_peephole"][1] * c)
            c = f * c + i * np.tanh(g)
            h = sigmoid(o + p["weight_peephole"][2] * c) * np.tanh(c)
            close(y_TBH[t, b], torch.from_numpy(h))
        close(end.c[0, b], torch.from_numpy(c))


def test_working_memory_by_a_loop():
    layer = make("working_memory")
    for name in ("weight_memory_l0", "bias_memory_l0"):
        torch.nn.init.normal_(layer.get_parameter(name))
    p, x_TBD = arrays(layer), 5 * data(T, B, D)

    def log(x):
        return np.sign(x) * np.log(1 + np.abs(x))

    y_TBH, end = layer(x_TBD)
    for b in range(B):
        h, c = np.zeros(H), np.zeros(H)
        for t in range(T):
            i, m, g, o = blocks_of(x_TBD[t, b].numpy(), h, p)
            v = log(p["weight_memory"] @ c + p["bias_memory"])
            c = sigmoid(m) * c + (1 - sigmoid(m)) * v + sigmoid(i) * log(g)
            h = sigmoid(o) * log(c)
            close(y_TBH[t, b], torch.from_numpy(h))
        close(end.c[0, b], torch.from_numpy(c))


def test_the_log_activation_has_slope_one_at_zero():
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    y = log_activation(x)
    close(y, x.sign() * (1 + x.abs()).log())
    (slope,) = torch.autograd.grad(y.sum(), x)
    close(slope, 1 / (1 + x.detach().abs()))


# The phased LSTM's clock --------------------------------------------------------------------------------------


def phased(period=2.0, shift=0.3, **keywords):
    """A phased LSTM with the same period and shift in every unit and layer."""
    layer = make("phased", **keywords)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("log_period"):
                parameter.fill_(math.log(period))
            elif name.startswith("shift"):
                parameter.fill_(shift)
    return layer


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


SHAPES_OF_TIMES = [{}, {"num_layers": 2}, {"bidirectional": True}, {"batch_first": True}]


@pytest.mark.parametrize("shape", SHAPES_OF_TIMES, ids=str)
def test_time_stamps_count_the_steps_by_default(shape):
    layer = phased(r_on=0.6, **shape)
    x = data(T, B, D)
    stamps = torch.arange(T, dtype=torch.float64)[:, None].expand(T, B)
    if layer.batch_first:
        x, stamps = x.transpose(0, 1), stamps.T
    y, end = layer(x)
    if not layer.bidirectional:  # by default the reverse direction counts in its own order
        given, same = layer(x, times=stamps)
        assert torch.equal(given, y)
        assert torch.equal(same.time, end.time)
    assert torch.equal(end.time, torch.full_like(end.time, T))


def test_irregular_time_stamps_change_the_result():
    layer = phased(7.3, 0.4, r_on=0.6)
    x_TBD = data(T, B, D)
    times_TB = torch.rand(T, B, dtype=torch.float64).cumsum(0) * 4
    y_TBH, end = layer(x_TBD, times=times_TB)
    assert (y_TBH - layer(x_TBD)[0]).abs().max() > 1e-3
    assert torch.equal(end.time[0], times_TB[-1] + 1)
    # Time stamps belong to their sequence: exchanging two sequences exchanges their results.
    assert torch.equal(layer(x_TBD.flip(1), times=times_TB.flip(1))[0], y_TBH.flip(1))
    # Equal but for a whole number of periods.
    close(layer(x_TBD, times=times_TB + 3 * 7.3)[0], y_TBH)


@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("dynamics", ["identity", "momentum"])
def test_two_calls_with_their_time_stamps_equal_one(dynamics, stamped):
    layer = phased(7.0, dynamics=dynamics, num_layers=2, r_on=0.6)
    x_TBD = data(T, B, D)
    times_TB = torch.rand(T, B, dtype=torch.float64).cumsum(0) * 4
    whole, first, second = (times_TB, times_TB[:2], times_TB[2:]) if stamped else (None, None, None)
    y_TBH, end = layer(x_TBD, times=whole)
    first_TBH, state = layer(x_TBD[:2], times=first)
    second_TBH, last = layer(x_TBD[2:], state, times=second)
    assert torch.equal(torch.cat([first_TBH, second_TBH]), y_TBH)
    assert all(torch.equal(last.recurrence[name], end.recurrence[name]) for name in end.recurrence)


def test_time_stamps_without_a_batch_and_in_reverse():
    layer = phased(7.0, r_on=0.6, bidirectional=True)
    x_TD, times_T = data(T, D), torch.rand(T, dtype=torch.float64).cumsum(0) * 4
    y_TH, _ = layer(x_TD, times=times_T)
    close(layer(x_TD[:, None], times=times_T[:, None])[0][:, 0], y_TH)
    forward = phased(7.0, r_on=0.6)
    weights = {name: layer.state_dict()[name + "_reverse"] for name in forward.state_dict()}
    forward.load_state_dict(weights)
    close(forward(x_TD.flip(0), times=times_T.flip(0))[0].flip(0), y_TH[:, H:])


def test_packed_sequences_with_time_stamps():
    layer = phased(7.0, r_on=0.6, bidirectional=True)
    lengths, x_TBD = [2, 5, 3], data(5, 3, D)
    times_TB = torch.rand(5, 3, dtype=torch.float64).cumsum(0) * 4
    packed = pack_padded_sequence(x_TBD, torch.tensor(lengths), enforce_sorted=False)
    y, end = layer(packed, times=times_TB)
    y_TBH, _ = torch.nn.utils.rnn.pad_packed_sequence(y)
    for b, length in enumerate(lengths):
        alone_TBH, alone = layer(x_TBD[:length, [b]], times=times_TB[:length, [b]])
        close(y_TBH[:length, b], alone_TBH[:, 0])
        close(end.c[:, b], alone.c[:, 0])


def test_the_clock_is_kept_in_full_precision():
    layer, x_TBD = phased(7.0), data(T, B, D)
    _, state = layer(x_TBD, times=torch.arange(T)[:, None].expand(T, B))
    assert state.time.is_floating_point()
    lower = state.to(dtype=torch.bfloat16)
    assert (lower.h.dtype, lower.time.dtype) == (torch.bfloat16, torch.float32)


def test_rows_past_their_end_keep_their_clock():
    layer, x_TBD = phased(7.0), data(5, 2, D)
    times_TB = torch.tensor([[0.0, 0], [1, 1], [2, -99], [3, -99], [4, -99]]).double()
    for lengths, order in (([5, 2], [0, 1]), ([2, 5], [1, 0])):
        packed = pack_padded_sequence(x_TBD[:, order], torch.tensor(lengths), enforce_sorted=False)
        _, end = layer(packed, times=times_TB[:, order])
        assert end.time.tolist() == [[float(n) for n in lengths]]


def test_wrong_times():
    x_TBD = data(T, B, D)
    packed = pack_padded_sequence(x_TBD, torch.tensor([3, T]), enforce_sorted=False)
    for wrong in (torch.zeros(T), torch.zeros(()), torch.zeros(T, 1)):
        with pytest.raises(ValueError, match="expected the input's: T = 6, B = 2"):
            phased()(packed, times=wrong)
    with pytest.raises(ValueError, match="expected the input's: T = 6, B = 1"):
        phased()(x_TBD[:, 0], times=torch.zeros(()))
    with pytest.raises(ValueError, match=r"times of shape \(2, 6\): expected the input's: T = 6, B = 2"):
        phased()(x_TBD, times=torch.zeros(B, T))
    with pytest.raises(ValueError, match=r"times of shape \(6,\)"):
        phased()(x_TBD, times=torch.zeros(T))
    with pytest.raises(ValueError, match="recurrence=peephole reads no time stamps; leave times out"):
        make("peephole")(x_TBD, times=torch.zeros(T, B))


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_time(dtype):
    """In bfloat16 the count would stop at 256."""
    layer = mx.Recurrent(D, H, recurrence="phased", dtype=dtype)
    y_TBH, end = layer(torch.randn(300, 1, D, dtype=dtype))
    assert y_TBH.dtype == end.c.dtype == dtype
    assert end.time.dtype == torch.float32
    assert end.time.item() == 300


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
