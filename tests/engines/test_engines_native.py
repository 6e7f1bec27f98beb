"""The compiled kernel: equal to the reference for every cell it has, and precise."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence
from whole_result import everything

import momentum_exp as mx
from momentum_exp.engines.compiled import native_library

RECURRENCES = {
    "lstm": {},
    "srlstm_released": {"restart": 3, "s": 0.7},
    "rnn": {"activation": "tanh"},
    "rnn, relu": {"activation": "relu"},
    "rnn, sigmoid": {"activation": "sigmoid"},
    "dtriv": {},
}
DYNAMICS = {
    "identity": {},
    "momentum": {"mu": 0.6, "s": 0.8},
    "momentum, mu 0": {"mu": 0.0, "s": 0.8},
    "nesterov": {"s": 0.9},
    "nesterov, restart 3": {"s": 0.9, "restart": 3},
    "rmsprop": {"s": 0.6, "beta": 0.5},
    "adam": {"mu": 0.5, "s": 0.6, "beta": 0.5},
    "adam, eps paper": {"mu": 0.5, "s": 0.6, "beta": 0.9, "eps": "paper"},
}
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


def layers(recurrence, dynamics, sizes, dtype=torch.float64, engines=("reference", "native"), **options):
    """The same layer with each of the engines."""
    keywords = {"recurrence": recurrence.split(",")[0], "dynamics": dynamics.split(",")[0], "dtype": dtype, **options}
    keywords |= {**RECURRENCES[recurrence], **DYNAMICS[dynamics]}
    made = [mx.Recurrent(*sizes, engine=engine, **keywords) for engine in engines]
    for layer in made[1:]:
        layer.load_state_dict(made[0].state_dict())
    return made


def compare(result, truth, tolerance=1e-10):
    assert result.keys() == truth.keys()
    for name, tensor in truth.items():
        scale = max(1.0, tensor.abs().max().item())
        torch.testing.assert_close(
            result[name], tensor, rtol=0, atol=tolerance * scale, msg=lambda m, n=name: f"{n}: {m}"
        )


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


@pytest.mark.parametrize("pair", ["lstm momentum", "lstm adam", "srlstm_released identity", "dtriv momentum"])
def test_float32_is_as_exact_as_torch(pair):
    """Gradients' error against the float64 loop: at most twice that of torch.nn.LSTM against its own.

    modReLU's jumps make any float32 gradient worse: there the bound is the float32 loop's error.
    """
    torch.manual_seed(0)
    x, hidden = torch.rand(784, 6, 1), 24

    def error(layer, exact):
        exact.load_state_dict(layer.state_dict())
        both = []
        for module in (layer, exact):
            y, _ = module(x.to(module.weight_ih_l0.dtype))
            both.append([g.double() for g in torch.autograd.grad(y.square().mean(), list(module.parameters()))])
        return max(((a - b).norm() / b.norm()).item() for a, b in zip(*both, strict=True))

    recurrence, dynamics = pair.split()
    loop, native = layers(recurrence, dynamics, (1, hidden), torch.float32)
    (exact,) = layers(recurrence, dynamics, (1, hidden), torch.float64, ("reference",))
    bound = error(torch.nn.LSTM(1, hidden), torch.nn.LSTM(1, hidden, dtype=torch.float64))
    assert error(native, exact) <= 2 * (error(loop, exact) if recurrence == "dtriv" else bound)


@pytest.mark.parametrize("number", ["float", "double"])
@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_activations_are_within_3_ulp(function, number):
    """Of the exact value, for normal results; what is smaller than the smallest normal number may be 0."""
    dtype = torch.float32 if number == "float" else torch.float64
    grids = [torch.linspace(-scale, scale, 400_001, dtype=dtype) for scale in (1e-30, 1e-3, 1, 20, 120, 800)]
    x = torch.cat([*grids, torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan")], dtype=dtype)])
    y = torch.empty_like(x)
    getattr(native_library(), f"map_{number}")(x.data_ptr(), y.data_ptr(), len(x), function == "tanh")
    wide = x.numpy().astype(np.longdouble)
    with np.errstate(over="ignore"):
        exact = np.tanh(wide) if function == "tanh" else 1 / (1 + np.exp(-wide))
    tiny = torch.finfo(dtype).tiny
    ulp = np.spacing(np.maximum(np.abs(exact), tiny).astype(x.numpy().dtype)).astype(np.longdouble)
    error = np.abs(y.numpy() - exact)
    finite = ~np.isnan(exact)
    assert (error[finite] <= np.maximum(2.6 * ulp, tiny)[finite]).all()
    assert torch.equal(y.isnan(), x.isnan())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "pair", ["lstm identity", "lstm adam", "srlstm_released identity", "rnn momentum", "dtriv identity"]
)
def test_the_trace_of_the_backward_pass(pair, packed):
    """Norms against autograd's own gradients of every h_t and c_t, gates against the reference's, counted."""
    torch.manual_seed(0)
    reference, native = layers(*pair.split(), (2, 5))
    x, kept, gates = torch.randn(6, 3, 2, dtype=torch.float64), {"h": [], "c": []}, {}
    x = pack_padded_sequence(x, torch.tensor([6, 4, 1])) if packed else x

    def keep(layer, direction, t, pre_BG, state):
        for name in kept.keys() & state.keys():
            state[name].retain_grad()
            kept[name].append(state[name])
        for name, value in reference.recurrence.gates(pre_BG.detach()).items():
            gates.setdefault(name, []).append(value.flatten())

    def loss(layer):
        y, state = layer(x)
        y = y.data if packed else y
        return y.sin().sum() + (y * y).sum() + sum((s**3).sum() for s in state)

    with reference.observe(keep):
        loss(reference).backward()
    with native.trace((0.4, 0.6)) as traces:
        loss(native).backward()
    assert list(traces) == [(0, 0)]
    trace = traces[0, 0]
    assert trace.norms.keys() == {name for name, series in kept.items() if series}
    for name, norm_TB in trace.norms.items():
        truth_TB = torch.stack([tensor.grad.norm(dim=1) for tensor in kept[name]])
        assert ((truth_TB == 0) == (torch.arange(6)[:, None] >= torch.tensor([6, 4, 1] if packed else [6]))).all()
        torch.testing.assert_close(norm_TB, truth_TB, rtol=1e-10, atol=1e-12)
    values = {name: torch.cat(steps) for name, steps in gates.items()}
    assert {len(value) for value in values.values()} <= {5 * (11 if packed else 18)}
    assert trace.low == {name: pytest.approx((value < 0.4).double().mean()) for name, value in values.items()}
    assert trace.high == {name: pytest.approx((value > 0.6).double().mean()) for name, value in values.items()}
    assert all(0 < sum(side.values()) < 3 for side in (trace.low, trace.high) if values)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("recurrence", ["lstm", "srlstm_released", "dtriv"])
def test_a_trace_changes_no_bit_and_counts_over_all_threads(recurrence, threads):
    torch.manual_seed(0)
    (native,) = layers(recurrence, "identity", (3, 37), torch.float32, ("native",), num_layers=2, bidirectional=True)
    x, before = torch.randn(50, 7, 3), torch.get_num_threads()
    x = pack_padded_sequence(x, torch.tensor([50, 50, 9, 3, 2, 1, 1]))
    try:
        plain = everything(native, x)
        torch.set_num_threads(threads)
        alone = everything(native, x)
        with native.trace((0.4, 0.6)) as traces:
            traced = everything(native, x)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(traced[name], alone[name]) for name in plain)
    compare(traced, plain, 1e-5)
    assert list(traces) == [(layer, direction) for layer in (0, 1) for direction in (0, 1)]
    with native.trace((0.4, 0.6)) as again:
        everything(native, x)
    for place, trace in traces.items():
        assert (trace.low, trace.high) == (again[place].low, again[place].high)
        for name, norm_TB in trace.norms.items():
            torch.testing.assert_close(norm_TB, again[place].norms[name], rtol=1e-4, atol=1e-6)


def test_only_the_native_engine_leaves_a_trace():
    for engine in ("reference", "library"):
        (layer,) = layers("lstm", "momentum", (1, 3), engines=(engine,))
        with pytest.raises(ValueError, match=f"engine={engine} leaves no trace"), layer.trace():
            pass
    (native,) = layers("lstm", "momentum", (1, 3), torch.float32, ("native",))
    with native.trace() as traces, torch.no_grad():
        native(torch.randn(3, 2, 1))
    assert not traces[0, 0].norms  # there was no backward pass
    native(torch.randn(3, 2, 1))[0].sum().backward()
    assert not traces[0, 0].norms  # outside


def test_adam_without_momentum_runs_elsewhere():
    layer = mx.Recurrent(2, 3, dynamics="adam", mu=0.0)
    assert layer.engine != "native"
    assert layer(torch.randn(4, 2, 2))[1].v.isfinite().all()


def test_a_state_on_another_device_is_refused():
    (native,) = layers("lstm", "identity", (2, 3), engines=("native",))
    zero = torch.zeros(1, 2, 3, device="meta", dtype=torch.float64)
    with pytest.raises(RuntimeError, match="h0, c0: not on the CPU"):
        native(torch.randn(4, 2, 2, dtype=torch.float64), (zero, zero))


def test_negated_views_are_read_as_they_are():
    (native,) = layers("lstm", "momentum", (2, 3), engines=("native",))
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    assert torch.equal(native(torch._neg_view(x))[0], native(-x)[0])


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


def test_a_second_derivative_is_refused():
    (native,) = layers("lstm", "momentum", (1, 3), engines=("native",))
    y, _ = native(torch.randn(3, 2, 1, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="no second derivative; write engine=reference"):
        torch.autograd.grad(y.sum(), native.weight_hh_l0, create_graph=True)


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_numbers_are_computed_in_float32(dtype):
    torch.manual_seed(0)
    (native,) = layers("lstm", "momentum", (2, 5), dtype, ("native",))
    x = torch.randn(7, 3, 2, dtype=dtype)
    y, state = native(x)
    exact, exact_state = native.float()(x.float())
    assert y.dtype == state.h.dtype == dtype
    assert torch.equal(y, exact.to(dtype))
    assert torch.equal(state.v, exact_state.v)
