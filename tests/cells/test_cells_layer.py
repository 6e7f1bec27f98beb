"""The layer as a torch module: equal to torch.nn.LSTM where it should be, exact where state is carried."""

import copy

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import momentum_exp as mx

CELLS = {
    "lstm": (mx.LSTM, {}),
    "momentum": (mx.MomentumLSTM, {}),
    "nesterov": (mx.NesterovLSTM, {}),
    "sr": (mx.SRLSTM, {"restart": 3}),
    "rmsprop": (mx.RMSPropLSTM, {}),
    "adam": (mx.AdamLSTM, {}),
}
CASES = [(name, engine) for name in CELLS for engine in ("reference", "library")]
D, H, T, B = 3, 4, 9, 2
ALL_CASES = [*CASES, ("sr released", "reference")]
CELLS["sr released"] = (mx.SRLSTMReleased, {"restart": 3})


def make(name, engine="auto", **keywords):
    cell, options = CELLS[name]
    return cell(D, H, engine=engine, dtype=torch.float64, **options, **keywords)


def data(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def close_states(a, b):
    close(dict(a.recurrence), dict(b.recurrence))
    close(dict(a.dynamics), dict(b.dynamics))


# torch.nn.LSTM ------------------------------------------------------------------------------------------------


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
    """Same seed, same parameters; same outputs, states and gradients, dropout included.

    Only packed sequences in reverse are batched otherwise by torch: there equality is to rounding.
    """
    results = []
    for module in (torch.nn.LSTM, mx.LSTM):
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
    layers = [module(D, H, 3, dropout=0.5) for module in (torch.nn.LSTM, mx.LSTM)]
    layers[1].load_state_dict(layers[0].state_dict())
    x_TBD = torch.randn(T, B, D)
    outputs = []
    for layer in layers:
        torch.manual_seed(1)
        outputs.append([layer(x_TBD)[0], layer(x_TBD)[0], layer.eval()(x_TBD)[0]])
    assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))
    assert not torch.equal(outputs[1][0], outputs[1][1])


@pytest.mark.parametrize("name", ["lstm", "momentum"])
def test_state_dict_moves_both_ways(name):
    shape = {"num_layers": 2, "bidirectional": True}
    ours, torchs = make(name, **shape), torch.nn.LSTM(D, H, **shape, dtype=torch.float64)
    torchs.load_state_dict(ours.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), torchs.parameters(), strict=True))
    ours.reset_parameters()
    ours.load_state_dict(torchs.state_dict())
    assert list(ours.state_dict()) == list(torchs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), torchs.parameters(), strict=True))


# Reductions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["reference", "library"])
@pytest.mark.parametrize(
    "options", [{"dynamics": "momentum", "mu": 0.0}, {"dynamics": "nesterov", "restart": 1}], ids=str
)
def test_without_memory_and_with_step_1_it_is_the_plain_cell_bit_for_bit(engine, options):
    plain = mx.LSTM(D, H, 2, engine=engine)
    cell = mx.Recurrent(D, H, 2, engine=engine, s=1.0, **options)
    cell.load_state_dict(plain.state_dict())
    x = torch.randn(T, B, D)
    results = []
    for layer in (plain, cell):
        y, _ = layer(x)
        y.sin().sum().backward()
        results.append([y, *(p.grad for p in layer.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("engine", ["reference", "library"])
@pytest.mark.parametrize("options", [{"dynamics": "nesterov", "restart": 1}, {"dynamics": "momentum", "mu": 0.0}])
def test_without_memory_the_step_size_scales_the_input_weights(engine, options):
    cell = mx.Recurrent(D, H, engine=engine, s=0.7, dtype=torch.float64, **options)
    weights = cell.state_dict()
    plain = torch.nn.LSTM(D, H, dtype=torch.float64)
    plain.load_state_dict({name: 0.7 * w if "_ih" in name else w for name, w in weights.items()})
    x_TBD = data(T, B, D)
    close(cell(x_TBD)[0], plain(x_TBD)[0])


# Time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "engine"), ALL_CASES)
def test_causality(name, engine):
    layer = make(name, engine)
    x_TBD = data(T, B, D)
    y_TBH, _ = layer(x_TBD)
    for t in range(T - 1):
        changed = x_TBD.clone()
        changed[t + 1 :] += 1
        other_TBH, _ = layer(changed)
        assert torch.equal(other_TBH[: t + 1], y_TBH[: t + 1])
        assert not torch.equal(other_TBH[t + 1], y_TBH[t + 1])


@pytest.mark.parametrize(("name", "engine"), ALL_CASES)
def test_calls_that_carry_the_state_equal_one_call(name, engine):
    layer = make(name, engine, num_layers=2)
    x_TBD = data(T, B, D)
    whole_TBH, end = layer(x_TBD)
    parts, state = [], None
    for chunk in x_TBD.split([2, 1, 6]):
        y_TBH, state = layer(chunk, state)
        parts.append(y_TBH)
    close(torch.cat(parts), whole_TBH)
    close_states(state, end)


@pytest.mark.parametrize(("name", "engine"), ALL_CASES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences_equal_each_sequence_alone(name, engine, bidirectional):
    """Lengths out of order, with a carried state; each direction starts at the sequence's own end."""
    layer = make(name, engine, num_layers=2, bidirectional=bidirectional)
    sequences = [data(length, D) for length in (3, 6, 1, 6)]
    _, warm = layer(data(5, 4, D))
    y, end = layer(pack_sequence(sequences, enforce_sorted=False), warm)
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(y)
    assert lengths.tolist() == [3, 6, 1, 6]
    for row, x_TD in enumerate(sequences):
        y_TH, alone = layer(x_TD, warm[:, row])
        close(padded[: len(x_TD), row], y_TH)
        close_states(end[:, row], alone)


@pytest.mark.parametrize("engine", ["reference", "library"])
@pytest.mark.parametrize(("name", "options"), [("momentum", {}), ("sr", {}), ("adam", {})])
def test_reverse_direction_is_the_forward_layer_on_the_reversed_input(name, engine, options):
    both, single = make(name, engine, bidirectional=True), make(name, engine)
    single.load_state_dict({n.removesuffix("_reverse"): w for n, w in both.state_dict().items() if "reverse" in n})
    x_TBD = data(T, B, D)
    y_TBH, end = both(x_TBD)
    alone_TBH, last = single(x_TBD.flip(0))
    close(y_TBH[..., H:], alone_TBH.flip(0))
    close_states(end[1:], last)


@pytest.mark.parametrize("engine", ["reference", "library"])
def test_reset_k_per_segment_restarts_k_but_carries_v(engine):
    kept, reset = make("sr", engine), make("sr", engine, reset_k_per_segment=True)
    reset.load_state_dict(kept.state_dict())
    x_TBD = data(T, B, D)
    _, state = kept(x_TBD[:4])
    assert state.k.tolist() == [[1, 1]]
    back = mx.State(state.recurrence, {**state.dynamics, "k": torch.zeros_like(state.k)})
    close(reset(x_TBD[4:], state)[0], kept(x_TBD[4:], back)[0])
    assert not torch.allclose(reset(x_TBD[4:], state)[0], kept(x_TBD[4:], state)[0])


# Shapes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "engine"), ALL_CASES)
def test_layouts(name, engine):
    layer, first = make(name, engine), make(name, engine, batch_first=True)
    first.load_state_dict(layer.state_dict())
    x_TBD = data(T, B, D)
    y_TBH, end = layer(x_TBD)
    y_BTH, same = first(x_TBD.transpose(0, 1))
    close(y_BTH.transpose(0, 1), y_TBH)
    close_states(same, end)
    y_TH, alone = layer(x_TBD[:, 1])
    close(y_TH, y_TBH[:, 1])
    close_states(alone, end[:, 1])


@pytest.mark.parametrize("name", CELLS)
def test_state_reads_like_a_tuple_and_a_record(name):
    layer = make(name, num_layers=2)
    _, state = layer(data(T, B, D))
    h, c = state
    assert h is state.h
    assert c is state.c
    assert h.shape == c.shape == (2, B, H)
    for part in ("v", "m"):
        if part in state.dynamics:
            assert getattr(state, part).shape == (2, B, 4 * H)
    order = torch.tensor([1, 0])
    assert torch.equal(state[:, order].c, c[:, order])
    assert all(not t.requires_grad for p in (state.detach().recurrence, state.detach().dynamics) for t in p.values())
    lower = state.to(dtype=torch.float32)
    assert lower.h.dtype == torch.float32
    assert "k" not in repr(state) or lower.k.dtype == torch.int64
    with pytest.raises(AttributeError, match="no 'nothing'"):
        state.nothing  # noqa: B018
    close_states(copy.deepcopy(state.detach()), state.detach())


@pytest.mark.parametrize(("name", "engine"), ALL_CASES)
def test_a_plain_pair_means_zero_momentum(name, engine):
    layer = make(name, engine)
    h, c = data(1, B, H), data(1, B, H)
    x_TBD = data(T, B, D)
    y_TBH, _ = layer(x_TBD, (h, c))
    zero = layer(x_TBD)[1].map(torch.zeros_like)
    close(layer(x_TBD, mx.State({**zero.recurrence, "h": h, "c": c}, zero.dynamics))[0], y_TBH)


# Parameters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forget_bias", [None, -4.0])
@pytest.mark.parametrize("name", ["momentum", "sr released"])
def test_released_init(name, forget_bias):
    """W_ih orthogonal as one matrix, identity in the input gate of W_hh only, biases 0 but for the forget gate."""
    layer = make(name, num_layers=2, init="released", forget_bias=forget_bias)
    eye_HH = torch.eye(H, dtype=torch.float64)
    for k in range(2):
        w_ih, w_hh, *biases, _ = layer.weights(k)
        close(w_ih.T @ w_ih, torch.eye(w_ih.shape[1], dtype=torch.float64))
        assert torch.equal(w_hh, torch.cat([eye_HH, torch.zeros(3 * H, H, dtype=torch.float64)]))
        for bias in biases:
            i, f, g, o = bias.chunk(4)
            assert f.unique().tolist() == [1.0 if forget_bias is None else forget_bias]
            assert not torch.cat([i, g, o]).any()


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


def test_layer_can_be_copied_and_describes_itself():
    layer = make("sr")
    x_TBD = data(T, B, D)
    assert torch.equal(copy.deepcopy(layer)(x_TBD)[0], layer(x_TBD)[0])
    assert "restart=3" in repr(layer)
    assert "engine=library" in repr(layer)


# Precision and gradients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["reference", "library"])
@pytest.mark.parametrize("name", ["momentum", "sr", "rmsprop", "adam"])
def test_autocast_leaves_the_dynamics_in_float32(name, engine):
    cell, options = CELLS[name]
    layer = cell(D, H, engine=engine, **options)
    x_TBD = torch.randn(T, B, D)
    y_TBH, state = layer(x_TBD)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half_TBH, half = layer(x_TBD)
        again_TBH, _ = layer(x_TBD, half)
    assert {t.dtype for n, t in half.dynamics.items() if n != "k"} == {torch.float32}
    torch.testing.assert_close(half_TBH.float(), y_TBH, rtol=0, atol=0.03)
    torch.testing.assert_close(again_TBH.float(), layer(x_TBD, state)[0], rtol=0, atol=0.05)
    half_TBH.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("engine", ["reference", "library"])
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_bfloat16_parameters(name, engine):
    layer = CELLS[name][0](D, H, engine=engine, dtype=torch.bfloat16)
    exact = CELLS[name][0](D, H, engine=engine)
    exact.load_state_dict(layer.state_dict())
    x_TBD = torch.randn(T, B, D, dtype=torch.bfloat16)
    y_TBH, state = layer(*[x_TBD, layer(x_TBD)[1]])
    exact_TBH, _ = exact(x_TBD.float(), exact(x_TBD.float())[1])
    assert y_TBH.dtype == state.h.dtype == torch.bfloat16
    assert state.v.dtype == torch.float32
    torch.testing.assert_close(y_TBH.float(), exact_TBH, rtol=0, atol=0.05)


@pytest.mark.parametrize(("name", "engine"), ALL_CASES)
def test_gradcheck(name, engine):
    layer = make(name, engine)
    x_TBD = data(3, B, D).requires_grad_()
    parameters = dict(layer.named_parameters())

    def function(x_TBD, *tensors):
        y_TBH, state = torch.func.functional_call(layer, dict(zip(parameters, tensors, strict=True)), (x_TBD,))
        return y_TBH, *state

    assert torch.autograd.gradcheck(function, (x_TBD, *parameters.values()))


# Observation --------------------------------------------------------------------------------------------------


def test_observe_shows_each_step_of_the_graph():
    layer = make("momentum", num_layers=2, bidirectional=True)
    x_TBD = data(T, B, D)
    plain_TBH, _ = layer(x_TBD)
    seen = {}

    def callback(k, direction, t, pre_BG, state):
        for tensor in state.values():
            tensor.retain_grad()
        seen[k, direction, t] = pre_BG, state

    with layer.observe(callback):
        y_TBH, _ = layer(x_TBD)
    layer(x_TBD)
    close(y_TBH, plain_TBH)
    assert list(seen) == [(k, d, t) for k in range(2) for d in range(2) for t in range(T)]
    y_TBH[-1].sum().backward()
    for t in range(T):
        assert torch.equal(seen[1, 0, t][1]["h"], y_TBH[t, :, :H])
        assert torch.equal(seen[1, 1, t][1]["h"], y_TBH[T - 1 - t, :, H:])
        pre_BG, state = seen[1, 0, t]
        gates = layer.recurrence.gates(pre_BG)
        close(gates["o"] * state["c"].tanh(), state["h"])
        assert state["h"].grad is not None
    assert torch.equal(seen[1, 0, T - 1][1]["h"].grad, torch.ones(B, H, dtype=torch.float64))


def test_observe_ends_with_its_block_even_on_an_error():
    layer = make("lstm")
    calls = []
    with pytest.raises(RuntimeError, match="stop"), layer.observe(lambda *args: calls.append(args)):
        raise RuntimeError("stop")
    layer(data(T, B, D))
    assert calls == []


@pytest.mark.parametrize("name", ["lstm", "sr released"])
def test_gates_are_named_in_torch_s_order(name):
    levels = {"i": 0.1, "f": 0.2, "g": 0.3, "o": 0.4}
    pre_BG = torch.cat([torch.full((B, H), level).logit() for level in levels.values()], 1)
    gates = make(name).recurrence.gates(pre_BG)
    assert list(gates) == ["i", "f", "o"]
    for gate, values_BH in gates.items():
        torch.testing.assert_close(values_BH, torch.full((B, H), levels[gate]))


# Errors -------------------------------------------------------------------------------------------------------


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
        ({"engine": "cuda"}, "engine=cuda is unknown; write one of: auto, library, reference"),
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
