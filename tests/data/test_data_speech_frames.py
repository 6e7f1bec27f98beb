"""Batches of sequences of different lengths: what is input and what is target, and who stands with whom."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from momentum_exp.data.frames import FrameBatches, Frames, batches_by_length

LENGTHS = (9, 2, 5, 30, 7, 2, 11, 3)
PAD = -50.0


def sequence(number: int, length: int) -> NDArray[np.float32]:
    """Frames of two features that say which sequence and which frame they are of, from 1."""
    return np.stack([np.full(length, number), np.arange(1, length + 1)], 1).astype(np.float32)


def dataset(padding: float | None, exchanged: bool) -> Frames:
    rows = [sequence(number, length) for number, length in enumerate(LENGTHS)]
    return Frames(rows, rows[:3], rows[3:], num_features=2, padding=padding, exchanged=exchanged)


def steps(batches: FrameBatches) -> dict[int, tuple[list[float], list[float]]]:
    """By sequence: the numbers of its input frames and of its target frames."""
    found = {}
    for batch in batches:
        assert batch.lengths_B is not None
        assert batch.inputs.shape == batch.targets.shape == (len(batch.lengths_B), int(batch.lengths_B.max()), 2)
        for inputs_TD, targets_TD, length in zip(batch.inputs, batch.targets, batch.lengths_B.tolist(), strict=True):
            assert not inputs_TD[length:].any()
            assert not targets_TD[length:].any()
            pair = inputs_TD[:length, 1].tolist(), targets_TD[:length, 1].tolist()
            number = max(int(inputs_TD[0, 0]), int(targets_TD[0, 0]))
            assert number not in found, "every sequence once"
            found[number] = pair
    return found


@pytest.mark.parametrize("exchanged", [False, True])
@pytest.mark.parametrize("padding", [None, PAD])
def test_targets_are_the_next_frames_or_inputs_are(padding: float | None, exchanged: bool) -> None:
    for number, (inputs, targets) in steps(dataset(padding, exchanged).training(3, 0, 0)).items():
        whole = [float(t) for t in range(1, LENGTHS[number] + 1)]
        after = [*whole[1:], PAD] if padding is not None else whole[1:]
        before = whole if padding is not None else whole[:-1]
        assert (inputs, targets) == ((after, before) if exchanged else (before, after))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_evaluation_has_every_sequence_of_its_split_once_by_length(batch_size: int) -> None:
    frames = dataset(None, False)
    for split, expected in (("val", LENGTHS[:3]), ("test", LENGTHS[3:])):
        batches = frames.evaluation(split, batch_size)
        lengths = [length for batch in batches for length in batch.lengths_B.tolist()]
        assert lengths == sorted(length - 1 for length in expected)
        assert len(batches) == -(-len(expected) // batch_size)


def test_training_batches_are_a_pure_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[float]]:
        return [batch.inputs[:, 0, 0].tolist() for batch in dataset(None, False).training(2, seed, epoch)]

    first = order(3, 7)
    torch.manual_seed(5)
    assert order(3, 7) == first
    assert len({str(order(*pair)) for pair in [(0, 0), (0, 1), (1, 0), (3, 7), (7, 3)]}) == 5


@given(st.lists(st.integers(2, 500), min_size=1, max_size=200), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_every_row_once_and_one_batch_short(lengths: list[int], batch_size: int, seed: int) -> None:
    batches = batches_by_length(torch.tensor(lengths), batch_size, seed, 0)
    assert torch.cat(batches).sort().values.tolist() == list(range(len(lengths)))
    short = [len(rows) for rows in batches if len(rows) != batch_size]
    assert short == ([len(lengths) % batch_size] if len(lengths) % batch_size else [])


def test_little_is_padding_and_batches_mix_from_epoch_to_epoch() -> None:
    """3,640 utterances in batches of 32, as TIMIT has them: 114 batches, a few percent of padding."""
    lengths = torch.from_numpy(np.random.default_rng(0).normal(195, 55, 3640).clip(60, 490).round()).long()
    partners = set()
    for epoch in range(5):
        batches = batches_by_length(lengths, 32, 0, epoch)
        assert len(batches) == 114
        computed = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
        assert int(lengths.sum()) / computed > 0.93
        (home,) = (rows for rows in batches if 17 in rows)
        partners.add(tuple(home.tolist()))
    assert len(partners) == 5


def test_the_device_holds_for_all_batches() -> None:
    frames = dataset(PAD, False).to("meta")
    for batch in (*frames.training(3, 0, 0), *frames.evaluation("val", 2)):
        assert {batch.inputs.device.type, batch.targets.device.type} == {"meta"}
        assert batch.lengths_B is not None
        assert batch.lengths_B.device.type == "cpu"
