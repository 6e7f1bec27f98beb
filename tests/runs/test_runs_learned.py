"""Runs that learn mu, s or beta: the values are recorded, resumed, and part of which run it is."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

LEARN = ("cell.learn=[mu,s]", "cell.mu=0.0", "cell.s=0.6", "optimizer.lr=0.1")


def learned(runs: Any, folder: Path) -> list[dict[str, Any]]:
    return [record for record in runs.records(folder) if record["kind"] == "learned"]


@pytest.mark.parametrize(("learn_per", "numbers"), [((), 1), (("cell.learn_per=gate",), 4)], ids=["layer", "gate"])
def test_the_values_are_recorded_and_move(runs: Any, learn_per: tuple[str, ...], numbers: int) -> None:
    overrides = (*runs.SHORT, *LEARN, *learn_per, "cell.num_layers=2")
    runs.run(*overrides)
    folder = runs.folder(*overrides)
    found = learned(runs, folder)
    assert [(record["step"], record["epoch"]) for record in found] == [(2, 1), (4, 2), (5, 2)]
    assert [record["step"] for record in runs.records(folder) if record["kind"] == "step"] == [2, 4, 5]
    for record in found:
        assert list(record["values"]) == ["cell.mu_l0", "cell.s_l0", "cell.mu_l1", "cell.s_l1"]
        assert {len(values) for values in record["values"].values()} == {numbers}
        for name, values in record["values"].items():
            assert all(0 < value < (1 if name.startswith("cell.mu") else 100) for value in values)
    for before, after in pairwise(found):
        assert all(before["values"][name] != values for name, values in after["values"].items())
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    free = [saved[f"cell.parametrizations.s_l{layer}.original"] for layer in (0, 1)]
    last = [torch.tensor(found[-1]["values"][f"cell.s_l{layer}"]) for layer in (0, 1)]
    torch.testing.assert_close([tensor.exp().flatten() for tensor in free], last)


def test_a_fixed_dynamics_records_no_values(runs: Any) -> None:
    runs.run(*runs.SHORT)
    assert learned(runs, runs.folder(*runs.SHORT)) == []


def test_killed_it_goes_on_with_the_values_it_had(
    runs: Any, killed: Callable[..., Path], uninterrupted: Callable[..., dict[str, Any]]
) -> None:
    overrides = (*runs.SHORT, *LEARN)
    folder = killed(*overrides)
    assert [record["step"] for record in learned(runs, folder)] == [2]
    runs.run(*overrides)
    assert runs.outcome(folder) == uninterrupted(*overrides)
    assert [record["step"] for record in learned(runs, folder)] == [2, 4, 5]


def test_the_order_written_does_not_matter_what_is_learned_does(runs: Any) -> None:
    adam = ("cell=adamlstm",)
    one = runs.folder(*adam, "cell.learn=[mu,s]")
    for same in ("[s,mu]", "[mu,s,mu]"):
        assert runs.folder(*adam, f"cell.learn={same}") == one
    others = [(), ("cell.learn=[mu]",), ("cell.learn=[mu,s,beta]",), ("cell.learn=[mu,s]", "cell.learn_per=gate")]
    assert len({one, *(runs.folder(*adam, *other) for other in others)}) == 5
    assert runs.folder(*adam, "cell.learn=[]") == runs.folder(*adam)
