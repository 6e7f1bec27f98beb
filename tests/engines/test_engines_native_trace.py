"""The trace that the compiled kernel leaves of its backward pass: gradients through time, and gates."""

import pytest
import torch
from native_layers import compare, layers
from torch.nn.utils.rnn import pack_padded_sequence
from whole_result import everything


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
