"""The compiled kernel: equal to the reference for every cell it has, on any input, and what it refuses."""

import pytest
import torch
from native_layers import DYNAMICS, RECURRENCES, compare, layers
from torch.nn.utils.rnn import pack_padded_sequence
from whole_result import everything

import momentum_exp as mx

PAIRS = [(r, d) for r in RECURRENCES for d in DYNAMICS if r != "srlstm_released" or d == "identity"]
# D, H, T, B, whether packed: no H but 16 fills whole vectors; the last two go through more than one chunk of steps.
SHAPES = [
    (1, 5, 7, 3, False),
    (3, 21, 1, 5, False),
    (20, 16, 9, 7, True),
    (2, 67, 5, 1, False),
    (3, 4, 600, 2, True),
    (1, 3, 30, 40, False),
]


@pytest.mark.parametrize("carried", [False, True], ids=["from zero", "carried"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("recurrence", "dynamics"), PAIRS)
def test_equals_the_reference(recurrence, dynamics, shape, carried):
    torch.manual_seed(0)
    inputs, hidden, steps, batch, packed = shape
    reference, native = layers(recurrence, dynamics, (inputs, hidden))
    x = torch.randn(steps, batch, inputs, dtype=torch.float64)
    state = None
    if carried:  # from sequences of different lengths, so that each row has its own k
        before = pack_padded_sequence(
            torch.randn(4, batch, inputs, dtype=torch.float64), torch.arange(batch) % 4 + 1, enforce_sorted=False
        )
        state = reference(before)[1]
    if packed:
        lengths = torch.randint(1, steps + 1, (batch,)).index_fill(0, torch.tensor([batch // 2]), steps)
        x = pack_padded_sequence(x, lengths, enforce_sorted=False)
    compare(everything(native, x, state), everything(reference, x, state))


@pytest.mark.parametrize("dynamics", ["momentum", "adam"])
@pytest.mark.parametrize("packed", [False, True])
def test_threads_agree_to_rounding(dynamics, packed):
    """Outputs and states are the same bits; weight gradients are sums over threads, so they differ in rounding."""
    torch.manual_seed(0)
    (native,) = layers("lstm", dynamics, (3, 9), torch.float32, ("native",))
    x = torch.randn(20, 7, 3)
    x = pack_padded_sequence(x, torch.tensor([20, 20, 9, 3, 2, 1, 1])) if packed else x
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(everything(native, x))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        compare(result, results[0], 1e-5)
        assert all(torch.equal(result[name], results[0][name]) for name in result if name[:4] in ("y", "last"))


@pytest.mark.parametrize("hidden", [5, 16])
@pytest.mark.parametrize("recurrence", ["lstm", "srlstm_released", "rnn", "dtriv"])
@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), float("nan")])
def test_what_is_not_finite_spreads_as_in_the_reference(recurrence, hidden, bad):
    torch.manual_seed(0)
    reference, native = layers(recurrence, "identity", (3, hidden))
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    x[2, 1, 0] = bad
    found, truth = everything(native, x), everything(reference, x)
    assert all(torch.equal(found[name].isnan(), truth[name].isnan()) for name in truth)


@pytest.mark.parametrize(("recurrence", "hidden"), [("rnn", 2049), ("lstm", 523)])
def test_many_panels(recurrence, hidden):
    torch.manual_seed(0)
    reference, native = layers(recurrence, "identity", (2, hidden))
    x = torch.randn(3, 4, 2, dtype=torch.float64)
    compare(everything(native, x), everything(reference, x))


def test_modrelu_at_zero():
    reference, native = layers("dtriv", "identity", (2, 5))
    with torch.no_grad():
        for layer in (reference, native):
            layer.bias_modrelu_l0.fill_(0.1)
    x = torch.zeros(4, 3, 2, dtype=torch.float64)
    x[2:] = torch.randn(2, 3, 2, dtype=torch.float64)
    compare(everything(native, x), everything(reference, x))


def test_negated_views_are_read_as_they_are():
    (native,) = layers("lstm", "momentum", (2, 3), engines=("native",))
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    assert torch.equal(native(torch._neg_view(x))[0], native(-x)[0])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dynamics", ["momentum", "adam"])
def test_without_gradients_nothing_is_kept_and_the_result_is_the_same(dynamics, packed):
    torch.manual_seed(0)
    (native,) = layers("lstm", dynamics, (2, 5), engines=("native",))
    x = torch.randn(7, 3, 2, dtype=torch.float64)
    x = pack_padded_sequence(x, torch.tensor([7, 4, 1])) if packed else x
    y, state = native(x)
    with torch.no_grad():
        bare, bare_state = native(x)
    y, bare = (y.data, bare.data) if packed else (y, bare)
    assert bare.grad_fn is None
    assert torch.equal(bare, y)
    assert all(torch.equal(a, b) for a, b in zip(state, bare_state, strict=True))
    assert all(torch.equal(a, bare_state.dynamics[name]) for name, a in state.dynamics.items())


@pytest.mark.parametrize("engine", ["native", "library", "reference"])
def test_compile_leaves_the_layer_as_it_is(engine):
    torch.manual_seed(0)
    (layer,) = layers("lstm", "momentum", (2, 4), engines=(engine,))
    x = torch.randn(5, 3, 2, dtype=torch.float64)
    compiled = torch.compile(layer, backend="aot_eager")
    gradients = [torch.autograd.grad(f(x)[0].sin().sum(), list(layer.parameters())) for f in (layer, compiled)]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_adam_without_momentum_runs_elsewhere():
    layer = mx.Recurrent(2, 3, dynamics="adam", mu=0.0)
    assert layer.engine != "native"
    assert layer(torch.randn(4, 2, 2))[1].v.isfinite().all()


def test_a_state_on_another_device_is_refused():
    (native,) = layers("lstm", "identity", (2, 3), engines=("native",))
    zero = torch.zeros(1, 2, 3, device="meta", dtype=torch.float64)
    with pytest.raises(RuntimeError, match="h0, c0: not on the CPU"):
        native(torch.randn(4, 2, 2, dtype=torch.float64), (zero, zero))


def test_a_second_derivative_is_refused():
    (native,) = layers("lstm", "momentum", (1, 3), engines=("native",))
    y, _ = native(torch.randn(3, 2, 1, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="no second derivative; write engine=reference"):
        torch.autograd.grad(y.sum(), native.weight_hh_l0, create_graph=True)
