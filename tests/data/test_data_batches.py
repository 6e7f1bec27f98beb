"""Batches by index, held-out rows and the data set as a whole."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from momentum_exp.data.labelled import Labelled, Split, batches, hold_out, shuffled_batches
from momentum_exp.errors import UserError

sizes = st.tuples(st.integers(1, 70), st.integers(1, 80))
seeds = st.integers(0, 2**32 - 1)


def numbered(n: int) -> Split:
    """n rows of 3 steps, each recognisable by its number."""
    return Split(torch.arange(3.0 * n).reshape(n, 3, 1), torch.arange(n))


@given(sizes, seeds, st.integers(0, 10**6))
def test_every_row_once_and_only_the_last_batch_short(size: tuple[int, int], seed: int, epoch: int) -> None:
    n, batch_size = size
    for cut in (batches(n, batch_size), shuffled_batches(n, batch_size, seed, epoch)):
        assert torch.cat(cut).sort().values.tolist() == list(range(n))
        assert [len(rows) for rows in cut[:-1]] == [batch_size] * (len(cut) - 1)
        assert 1 <= len(cut[-1]) <= batch_size
        assert cut[0].dtype == torch.int64


def test_batches_in_order() -> None:
    assert [rows.tolist() for rows in batches(5, 2)] == [[0, 1], [2, 3], [4]]


def test_shuffling_is_a_function_of_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int, batch_size: int = 50) -> list[int]:
        return torch.cat(shuffled_batches(50, batch_size, seed, epoch)).tolist()

    first = order(seed=3, epoch=7)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    assert order(seed=3, epoch=7) == first
    assert torch.equal(torch.get_rng_state(), before), "the global generator must not move"
    assert order(seed=3, epoch=7, batch_size=8) == first
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (3, 7), (7, 3), (10, 0)]
    assert len({tuple(order(*pair)) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize("validation", [0, 1, 4, 9])
def test_the_last_rows_are_held_out(validation: int) -> None:
    train, val = hold_out(numbered(10), validation)
    assert train.targets.tolist() == list(range(10 - validation))
    assert (val is None) == (validation == 0)
    if val is not None:
        assert val.targets.tolist() == list(range(10 - validation, 10))
        assert torch.equal(val.inputs_NTD, numbered(10).inputs_NTD[-validation:])


@pytest.mark.parametrize("validation", [-1, 10, 11])
def test_holding_out_all_rows_or_fewer_than_none_is_refused(validation: int) -> None:
    with pytest.raises(UserError, match=rf"data\.validation={validation}: .*from 0 .*to 9"):
        hold_out(numbered(10), validation)


def test_limit_keeps_the_first_rows_and_reorder_the_labels() -> None:
    split = numbered(4)
    assert len(split.limit(3)) == 3
    assert len(split.limit(9)) == 4
    assert split.limit(3).targets.tolist() == [0, 1, 2]
    reordered = split.reorder(torch.tensor([2, 0, 1]))
    assert reordered.inputs_NTD[1, :, 0].tolist() == [5.0, 3.0, 4.0]
    assert torch.equal(reordered.targets, split.targets)


@pytest.mark.parametrize("val", [None, numbered(2)])
def test_every_split_moves_to_the_device(val: Split | None) -> None:
    dataset = Labelled(numbered(5), val, numbered(3), num_features=1, num_classes=5).to("meta")
    splits = [dataset.train, dataset.test] if val is None else [dataset.train, dataset.val, dataset.test]
    assert (dataset.val is None) == (val is None)
    assert {split.inputs_NTD.device.type for split in splits} == {"meta"}
    assert {split.targets.device.type for split in splits} == {"meta"}
