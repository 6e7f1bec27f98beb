"""The order of the pixels: every protocol is a permutation, and depends on what its name says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from momentum_exp.data.permutation import pixel_permutation
from momentum_exp.errors import UserError


@given(
    st.sampled_from(["released", "fixed", "bit_reversal", "17", 17, 0, 2**32 - 1]),
    st.integers(1, 200) | st.just(784),
    st.integers(0, 2**32 - 1),
)
def test_every_index_once(protocol: str | int, length: int, run_seed: int) -> None:
    order_T = pixel_permutation(protocol, length, run_seed)
    assert order_T.dtype == torch.int64
    assert order_T.sort().values.tolist() == list(range(length))


def test_released_is_the_authors_order_for_each_seed() -> None:
    for run_seed in (0, 1, 4):
        expected = np.random.RandomState(run_seed).permutation(784).tolist()
        assert pixel_permutation("released", 784, run_seed).tolist() == expected
    assert not torch.equal(pixel_permutation("released", 784, 0), pixel_permutation("released", 784, 1))


@pytest.mark.parametrize("protocol", ["fixed", "bit_reversal", "5", 5])
def test_the_other_protocols_ignore_the_runs_seed(protocol: str | int) -> None:
    assert torch.equal(pixel_permutation(protocol, 784, 0), pixel_permutation(protocol, 784, 1))


def test_a_number_is_a_seed() -> None:
    fixed = pixel_permutation("fixed", 784, 0)
    assert torch.equal(pixel_permutation(92916, 784, 0), fixed)
    assert torch.equal(pixel_permutation("92916", 784, 0), fixed)
    assert not torch.equal(pixel_permutation(92917, 784, 0), fixed)


def test_bit_reversal_of_a_power_of_two() -> None:
    assert pixel_permutation("bit_reversal", 8, 0).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
    order_T = pixel_permutation("bit_reversal", 64, 0)
    assert torch.equal(order_T[order_T], torch.arange(64)), "reversing the digits twice changes nothing"
    assert order_T[1] == 32
    assert order_T[62] == 31


@pytest.mark.parametrize(("length", "power"), [(6, 8), (784, 1024)])
def test_bit_reversal_of_another_length_leaves_out_what_is_beyond(length: int, power: int) -> None:
    longer = pixel_permutation("bit_reversal", power, 0)
    assert torch.equal(pixel_permutation("bit_reversal", length, 0), longer[longer < length])


@pytest.mark.parametrize("protocol", ["", "Released", "none", "-1", -1, "1.5", 2**32, True])
def test_another_protocol_is_refused(protocol: str | int) -> None:
    with pytest.raises(UserError) as error:
        pixel_permutation(protocol, 784, 0)
    message = str(error.value)
    assert message.startswith(f"data.permutation={protocol}: ")
    for allowed in ("released", "fixed", "bit_reversal", "4294967295", "write for example data.permutation="):
        assert allowed in message
