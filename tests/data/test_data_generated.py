"""Copying and adding: their definitions, by hand, and batches that are fresh, pure and fixed where they must be."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from momentum_exp.config import DataConfig
from momentum_exp.data import Batch, load_dataset
from momentum_exp.data.adding import Adding
from momentum_exp.data.copying import COPIED, Copying
from momentum_exp.data.generated import EVALUATION_SEEDS, NUM_ROWS, SEEDS, Generated
from momentum_exp.errors import UserError

COPYING = Copying(length=7, symbols=8, steps_per_epoch=6)
ADDING = Adding(length=9, steps_per_epoch=6)
BOTH = [COPYING, ADDING]
seeds = st.integers(0, 2**32 - 1)


def copying_of(steps: int) -> Copying:
    return Copying(length=1, symbols=8, steps_per_epoch=steps)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def content(batch: Batch) -> tuple[bytes, bytes]:
    return batch.inputs.numpy().tobytes(), batch.targets.numpy().tobytes()


def numbers(one_hot_BTD: Tensor) -> list[list[int]]:
    """The symbols of a one-hot input, which it must be."""
    assert torch.equal(one_hot_BTD.sum(2), torch.ones(one_hot_BTD.shape[:2]))
    assert set(one_hot_BTD.unique().tolist()) == {0.0, 1.0}
    symbols: list[list[int]] = one_hot_BTD.argmax(2).tolist()
    return symbols


@pytest.mark.parametrize("length", [1, 2, 7, 100])
@pytest.mark.parametrize("symbols", [2, 8, 10])
def test_copying_is_what_its_definition_says(length: int, symbols: int) -> None:
    batch = Copying(length=length, symbols=symbols, steps_per_epoch=1).draw(5, generator())
    assert batch.inputs.shape == (5, length + 20, symbols + 2)
    assert (batch.inputs.dtype, batch.targets.dtype) == (torch.float32, torch.int64)
    blank, delimiter = symbols, symbols + 1
    for shown, labels in zip(numbers(batch.inputs), batch.targets.tolist(), strict=True):
        copied = shown[:10]
        assert set(copied) <= set(range(symbols))
        assert shown[10:] == [blank] * (length - 1) + [delimiter] + [blank] * 10
        assert labels == [blank] * (length + 10) + copied
    assert batch.lengths_B is None


def test_copied_symbols_are_uniform_and_independent() -> None:
    """Over the first symbols of many batches too: their seeds follow one another."""
    whole_NS = Copying(length=1, symbols=8, steps_per_epoch=1).draw(4000, generator()).targets[:, -COPIED:]
    first_NS = torch.cat([batch.targets[:, -COPIED:] for batch in copying_of(4000).training(1, 3, 0)])
    for drawn_NS in (whole_NS, first_NS):
        for place in range(COPIED):
            share = drawn_NS[:, place].bincount(minlength=8) / len(drawn_NS)
            assert (share - 1 / 8).abs().max() < 5 * math.sqrt(7 / 64 / 4000)
        for one, other in [*pairwise(drawn_NS.T.double()), (drawn_NS[1:, 0].double(), drawn_NS[:-1, 0].double())]:
            assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 5 / math.sqrt(4000)


@pytest.mark.parametrize("length", [2, 3, 9, 100])
def test_adding_is_what_its_definition_says(length: int) -> None:
    batch = Adding(length=length, steps_per_epoch=1).draw(50, generator())
    assert batch.inputs.shape == (50, length, 2)
    assert (batch.inputs.dtype, batch.targets.dtype) == (torch.float32, torch.float32)
    for row, target in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        marked = [step for step, (_, mark) in enumerate(row) if mark == 1]
        assert [mark for _, mark in row if mark not in (0, 1)] == []
        assert all(0 <= number < 1 for number, _ in row)
        early, late = marked
        assert early < length // 2 <= late
        assert target == pytest.approx(row[early][0] + row[late][0], rel=1e-6)


def test_marks_and_numbers_are_uniform() -> None:
    batch = Adding(length=6, steps_per_epoch=1).draw(8000, generator())
    assert (batch.inputs[..., 1].mean(0) - 1 / 3).abs().max() < 5 * math.sqrt(2 / 9 / 8000)
    assert (batch.inputs[..., 0].mean(0) - 1 / 2).abs().max() < 5 * math.sqrt(1 / 12 / 8000)


@given(seeds, st.integers(0, 10**5))
def test_training_is_a_function_of_its_arguments_alone(seed: int, epoch: int) -> None:
    for dataset in BOTH:
        before = torch.get_rng_state()
        batches = dataset.training(3, seed, epoch)
        assert len(batches) == 6
        backwards = [content(batches[place]) for place in reversed(range(6))]
        again = [content(batch) for batch in dataset.training(3, seed, epoch)]
        assert backwards[::-1] == again
        assert torch.equal(torch.get_rng_state(), before), "the global generator must not move"


@pytest.mark.parametrize("dataset", BOTH, ids=["copying", "adding"])
def test_no_batch_comes_twice(dataset: Generated) -> None:
    seen = [content(batch) for seed in (0, 1) for epoch in range(40) for batch in dataset.training(4, seed, epoch)]
    seen += [content(batch) for split in ("val", "test") for batch in dataset.evaluation(split, 4)]
    assert len(set(seen)) == len(seen) == 2 * 40 * 6 + 2 * NUM_ROWS // 4


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_no_seed_comes_twice_in_a_run_of_any_length(seed: int) -> None:
    """A generator on a CPU takes 32 bits of its seed: drawn seeds would meet after some ten thousand batches."""
    assert content(COPYING.draw(2, generator(5))) == content(COPYING.draw(2, generator(5 + SEEDS)))
    steps, epochs = 5000, (0, 1, 2, 800_000)
    dataset = copying_of(steps)
    used = [number for epoch in epochs for number in dataset.training(1, seed, epoch).seeds]
    assert len(set(used)) == steps * len(epochs)
    assert set(EVALUATION_SEEDS.values()).isdisjoint(used)
    assert 0 <= min(used) <= max(used) < SEEDS


@pytest.mark.parametrize("batch_size", [1, 7, 300, 5000])
@pytest.mark.parametrize("name", ["copying", "adding"])
def test_validation_and_test_are_the_same_in_every_run(name: str, batch_size: int) -> None:
    config = DataConfig(name=name, length=5, symbols=8, steps_per_epoch=6)
    reference = load_dataset(config, Path("unused"), run_seed=0)
    other = load_dataset(config, Path("elsewhere"), run_seed=1)
    for split in ("val", "test"):
        (whole,) = reference.evaluation(split, NUM_ROWS) or []
        parts = other.evaluation(split, batch_size) or []
        assert len(whole.targets) == NUM_ROWS
        assert torch.equal(torch.cat([part.inputs for part in parts]), whole.inputs)
        assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)
        assert {len(part.targets) for part in parts[:-1]} <= {batch_size}


@pytest.mark.parametrize("name", ["copying", "adding"])
def test_limit_keeps_the_first_rows_to_evaluate_on(name: str) -> None:
    config = DataConfig(name=name, length=5, symbols=8, steps_per_epoch=6)
    (whole,) = load_dataset(config, Path("unused"), 0).evaluation("test", NUM_ROWS) or []
    config.limit = 70
    limited = load_dataset(config, Path("unused"), 0)
    (few,) = limited.evaluation("test", 100) or []
    assert len(few.targets) == 70
    assert content(few) == content(Batch(whole.inputs[:70], whole.targets[:70]))
    assert len(limited.training(8, 0, 0)) == 6


@pytest.mark.parametrize("dataset", BOTH, ids=["copying", "adding"])
def test_batches_are_made_where_they_are_wanted(dataset: Generated) -> None:
    moved = dataset.to("cpu")
    assert moved.device == torch.device("cpu")
    assert content(moved.training(3, 0, 0)[0]) == content(dataset.training(3, 0, 0)[0])
    if torch.cuda.is_available():
        on_gpu = dataset.to("cuda")
        assert on_gpu.training(3, 0, 0)[0].inputs.is_cuda
        (whole,) = on_gpu.evaluation("val", NUM_ROWS)
        assert content(whole.to("cpu")) == content(dataset.evaluation("val", NUM_ROWS)[0])


@pytest.mark.parametrize("length", [1, 30, 100])
@pytest.mark.parametrize("symbols", [2, 8])
def test_the_memoryless_strategy_has_its_loss(length: int, symbols: int) -> None:
    """Blank for certain, then one of the symbols at equal odds: the mean cross-entropy over all labels."""
    dataset = Copying(length=length, symbols=symbols, steps_per_epoch=1)
    odds_TK = torch.zeros(length + 20, symbols + 2, dtype=torch.float64)
    odds_TK[:-10, symbols] = 1.0
    odds_TK[-10:, :symbols] = 1 / symbols
    labels_BT = dataset.draw(200, generator()).targets
    odds_BT = odds_TK.expand(200, -1, -1).gather(2, labels_BT.unsqueeze(2)).squeeze(2)
    assert dataset.baselines == {"memoryless": pytest.approx(-odds_BT.log().mean().item(), rel=1e-12)}


def test_the_baselines_are_those_of_the_literature() -> None:
    paper = Copying(length=2000, symbols=8, steps_per_epoch=1)
    assert paper.baselines == {"memoryless": pytest.approx(10 * math.log(8) / 2020)}
    assert ADDING.baselines == {"always 1": pytest.approx(0.167, abs=5e-4)}


def test_always_1_has_its_loss() -> None:
    targets = Adding(length=4, steps_per_epoch=1).draw(200_000, generator()).targets.double()
    assert ((targets - 1) ** 2).mean().item() == pytest.approx(ADDING.baselines["always 1"], rel=0.01)
    assert targets.mean().item() == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize(
    ("name", "missing"),
    [("copying", "length"), ("copying", "symbols"), ("copying", "steps_per_epoch"), ("adding", "length")],
)
def test_a_key_that_is_null_is_named(name: str, missing: str) -> None:
    config = DataConfig(name=name, length=5, symbols=8, steps_per_epoch=6)
    setattr(config, missing, None)
    with pytest.raises(UserError, match=rf"data\.{missing}=null: .*{name}.*data={name}.*data\.{missing}=100"):
        load_dataset(config, Path("unused"), 0)


def test_one_step_has_no_two_halves() -> None:
    config = DataConfig(name="adding", length=1, steps_per_epoch=6)
    with pytest.raises(UserError, match=r"data\.length=1: .*2 or more; write .*data\.length=150"):
        load_dataset(config, Path("unused"), 0)
