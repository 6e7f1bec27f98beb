"""The phased LSTM's clock: time stamps given or counted, in every layout, in full precision."""

import pytest
import torch
from double_precision import close, data
from gated_layers import B, D, H, T, make, phased
from torch.nn.utils.rnn import pack_padded_sequence

import momentum_exp as mx

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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_time(dtype):
    """In bfloat16 the count would stop at 256."""
    layer = mx.Recurrent(D, H, recurrence="phased", dtype=dtype)
    y_TBH, end = layer(torch.randn(300, 1, D, dtype=dtype))
    assert y_TBH.dtype == end.c.dtype == dtype
    assert end.time.dtype == torch.float32
    assert end.time.item() == 300


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
