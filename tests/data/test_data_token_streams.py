"""Text as streams: read once in order, a segment at a time, of equal or of random lengths."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from momentum_exp.data.token_streams import SHORTEST, TokenStreams, equal_ends, random_ends


def streams(n: int, bptt: int = 7, varies: bool = False, evaluated: int = 30) -> TokenStreams:
    """Texts whose tokens are their places, so that every one is recognisable; the token before them is n + 9."""
    split = torch.arange(evaluated)
    return TokenStreams(torch.arange(n), split, split, n + 10, n + 9, bptt, varies)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 400),
    batch_size=st.integers(1, 12),
    bptt=st.integers(1, 40),
    varies=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_training_reads_the_text_once_in_order(n: int, batch_size: int, bptt: int, varies: bool, seed: int) -> None:
    order = list(streams(n, bptt, varies).training(batch_size, seed, epoch=3))
    length = n // batch_size
    if not length:
        assert order == []
        return
    targets_BL = torch.cat([batch.targets for batch in order], 1)
    inputs_BL = torch.cat([batch.inputs for batch in order], 1)
    assert targets_BL.flatten().tolist() == list(range(batch_size * length))  # streams follow each other in the text
    assert inputs_BL.flatten().tolist() == [n + 9, *range(batch_size * length - 1)]
    for batch in order:
        assert batch.inputs.shape == batch.targets.shape
        assert batch.lr_scale == batch.targets.shape[1] / bptt
        assert batch.lengths_B is None


@pytest.mark.parametrize(("n", "expected"), [(30, (10, 1)), (28, (7, 1)), (29, (1, 1)), (3, (3, 1))])
def test_evaluation_counts_every_token_once(n: int, expected: tuple[int, int]) -> None:
    dataset = streams(50, bptt=4, varies=True, evaluated=n)
    for split, number in zip(("val", "test"), expected, strict=True):
        segments = list(dataset.evaluation(split, batch_size=3))
        targets = torch.cat([batch.targets for batch in segments], 1)
        assert targets.shape[0] == number
        assert targets.flatten().tolist() == list(range(n))
        assert {batch.targets.shape[1] for batch in segments[:-1]} <= {4}


def test_segments_are_a_pure_function_of_seed_and_epoch() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = random_ends(5000, 70, seed=3, epoch=7)
    assert random_ends(5000, 70, seed=3, epoch=7) == first
    assert torch.equal(torch.get_rng_state(), before)
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (3, 7), (7, 3)]
    assert len({tuple(random_ends(5000, 70, *pair)) for pair in pairs}) == len(pairs)


def test_the_lengths_have_the_distribution_of_the_recipe() -> None:
    """N(70, 5) but for 1 in 20 from N(35, 5), cut to whole numbers (so half a step shorter in the mean)."""
    ends = torch.tensor([0, *random_ends(3_000_000, 70, 0, 0)])
    lengths = ends.diff()[:-1].double()
    short = lengths < 52
    assert float(short.double().mean()) == pytest.approx(0.05, abs=0.004)
    assert float(lengths[~short].mean()) == pytest.approx(69.5, abs=0.1)
    assert float(lengths[short].mean()) == pytest.approx(34.5, abs=0.5)
    assert float(lengths[~short].std()) == pytest.approx(5.0, abs=0.1)
    assert int(torch.tensor([0, *random_ends(100_000, 6, 0, 0)]).diff()[:-1].min()) == SHORTEST


def test_equal_segments() -> None:
    assert equal_ends(7, 3) == [3, 6, 7]
    assert equal_ends(6, 3) == [3, 6]
    assert equal_ends(2, 3) == [2]
    assert equal_ends(0, 3) == []


def test_the_batches_are_where_the_data_set_is() -> None:
    batch = streams(50).to("meta").training(2, 0, 0)[0]
    assert (batch.inputs.device.type, batch.targets.device.type) == ("meta", "meta")
