"""What is special about each gated recurrence: its gates, and the LSTM's relatives against it and plain loops."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from double_precision import close, data
from gated_layers import B, D, H, T, copy_into, make

import momentum_exp as mx
from momentum_exp.cells.recurrences.working_memory import log_activation

# Gates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recurrence", "block"), [("gru", 0), ("peephole", 1), ("phased", 1), ("working_memory", 1)], ids=str
)
def test_the_released_init_opens_one_gate(recurrence, block):
    layer = mx.Recurrent(D, H, recurrence=recurrence, init="released")
    ones = torch.zeros(layer.recurrence.gate_blocks, H)
    ones[block] = 1
    assert torch.equal(layer.bias_ih_l0, ones.flatten())
    assert torch.equal(layer.bias_hh_l0, ones.flatten())


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
