"""The layer as a torch module: its state, initialisation, precision and observation."""

import copy

import pytest
import torch
from double_precision import close, data
from lstm_layers import CELLS, B, D, H, T, make

import momentum_exp as mx


def close_states(a, b):
    close(dict(a.recurrence), dict(b.recurrence))
    close(dict(a.dynamics), dict(b.dynamics))


# State --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["reference", "library", "native"])
def test_reset_k_per_segment_restarts_k_but_carries_v(engine):
    kept, reset = make("sr", engine), make("sr", engine, reset_k_per_segment=True)
    reset.load_state_dict(kept.state_dict())
    x_TBD = data(T, B, D)
    _, state = kept(x_TBD[:4])
    assert state.k.tolist() == [[1, 1]]
    back = mx.State(state.recurrence, {**state.dynamics, "k": torch.zeros_like(state.k)})
    close(reset(x_TBD[4:], state)[0], kept(x_TBD[4:], back)[0])
    assert not torch.allclose(reset(x_TBD[4:], state)[0], kept(x_TBD[4:], state)[0])


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
    assert all(f"{part}: {tuple(t.shape)}" in repr(state) for part, t in (state.recurrence | state.dynamics).items())
    if "k" in state.dynamics:
        assert lower.k.dtype == torch.int64
    for index in (0, -1, "h"):
        with pytest.raises(TypeError, match=r"write state\.h, or h, c = state"):
            state[index]
    with pytest.raises(AttributeError, match="no 'nothing'"):
        state.nothing  # noqa: B018
    close_states(copy.deepcopy(state.detach()), state.detach())


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


def test_a_layer_describes_itself():
    layer = make("sr")
    assert "restart=3" in repr(layer)
    assert f"engine={layer.engine}" in repr(layer)


# Precision ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["reference", "library", "native"])
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


@pytest.mark.parametrize("engine", ["reference", "library", "native"])
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
