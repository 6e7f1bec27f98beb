"""One process among several, without the others: its share of each batch, and what it tells and is told."""

import pytest
import torch

from momentum_exp.data import Batch
from momentum_exp.training.distributed import ALONE, ProcessLost, Ranks, current_ranks


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 20])
def test_every_row_is_one_process_s_and_shares_are_even(size: int, rows: int) -> None:
    batch = Batch(torch.arange(rows)[:, None], torch.arange(rows), torch.arange(rows))
    counted = []
    for rank in range(size):
        ranks = Ranks(rank, size)
        share = ranks.share(batch)
        assert share.inputs[:, 0].tolist() == share.targets.tolist()
        assert share.lengths_B is not None
        assert share.lengths_B.tolist() == share.targets.tolist()
        if ranks.counted(1.0):
            counted.append(share.targets.tolist())
        else:
            assert len(share.targets) == 1
    assert [row for part in counted for row in part] == list(range(rows))
    assert max(map(len, counted)) - min(map(len, counted)) <= (1 if len(counted) == size else 0)


def test_alone_nothing_is_done() -> None:
    assert current_ranks() is ALONE
    assert (ALONE.first, ALONE.several, ALONE.speaks) == (True, False, True)
    batch = Batch(torch.zeros(2, 1), torch.zeros(2))
    assert ALONE.share(batch) is batch
    assert ALONE.any(False, True) == [False, True]
    ALONE.call()
    ALONE.leave()  # either would wait for ever for others


class Store:
    """What of torch's store is used, on a dict, as one process of several sees it."""

    def __init__(self, **content: str) -> None:
        self.content = {key: value.encode() for key, value in content.items()}

    def check(self, keys: list[str]) -> bool:
        return all(key in self.content for key in keys)

    def get(self, key: str) -> bytes:
        return self.content[key]

    def set(self, key: str, value: str) -> None:
        self.content[key] = value.encode()


def test_a_process_that_failed_waits_for_nobody_and_nobody_for_it() -> None:
    store = Store()
    Ranks(2, 4, store=store).leave(failed=True)
    with pytest.raises(ProcessLost, match="process 2 of 4 has failed; it says why"):
        Ranks(0, 4, store=store).call()
    store = Store(failed="2")
    third = Ranks(3, 4, store=store)
    with pytest.raises(ProcessLost, match="process 2 of 4"):
        third.called()
    assert not third.speaks
    third.leave()


def test_the_first_process_s_decision_outweighs_a_failure() -> None:
    """It has ended well, or failed itself and says so."""
    store = Store(failed="1")
    Ranks(0, 3, store=store).leave(failed=True)
    assert not Ranks(2, 3, store=store).called()
    assert store.check(["left"])
