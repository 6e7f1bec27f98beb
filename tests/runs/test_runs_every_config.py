"""Every configuration that ships composes and trains two steps, and leaves no key without effect."""

import math
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from momentum_exp.command_line import conf_dir
from momentum_exp.data import Dataset, load_dataset
from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS
from momentum_exp.runs import run as run_module

TWO_STEPS = ("cell.hidden_size=4", "trainer.batch_size=4", "trainer.max_steps=2", "data.limit=8")


def options(group: str) -> list[str]:
    names = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    assert names
    return names


def paper_pairs() -> list[tuple[str, str]]:
    """Every file of `paper` with its data set, the longest name that it begins with."""
    return [
        (name, max((data for data in options("data") if name.startswith(f"{data}_")), key=len))
        for name in options("paper")
    ]


CASES = [
    *((f"cell={cell}", "data=digits") for cell in options("cell")),
    *((f"data={data}",) for data in options("data")),
    *((f"cell={name.removeprefix(f'{data}_')}", f"data={data}") for name, data in paper_pairs()),
    *(
        (f"{group}={name}",)
        for group in ("optimizer", "diagnostics", "tracking", "trainer")
        for name in options(group)
        if name != "gpu"
    ),
    *((f"experiment={name}",) for name in options("experiment")),
]


@pytest.fixture(scope="module")
def loaded() -> dict[str, Dataset]:
    """Data sets that were read already: MNIST takes a second."""
    return {}


@pytest.mark.parametrize("overrides", CASES, ids=" ".join)
def test_it_trains_two_steps_without_a_warning(
    runs: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, loaded: Any, overrides: tuple[str, ...]
) -> None:
    if "mnist" in " ".join(overrides) and "protocol" not in overrides[0]:
        root: Path = request.getfixturevalue("real_data")("MNIST/raw")
        overrides = (*overrides, f"paths.data={root}")
    if "ptb" in " ".join(overrides):
        texts: Path = request.getfixturevalue("ptb_root")
        small = ("task.embedding_size=4", "data.bptt=6", "data.bptt_varies=false")
        overrides = (*overrides, f"paths.data={texts}", *small)
    if "timit" in " ".join(overrides) or "speech" in " ".join(overrides):
        sounds: Path = request.getfixturevalue("speech_root")
        overrides = (*overrides, f"paths.data={sounds}")
    monkeypatch.setenv("WANDB_SILENT", "true")

    def load_once(*arguments: Any, **options: Any) -> Dataset:
        key = repr((arguments, options))
        if key not in loaded:
            loaded[key] = load_dataset(*arguments, **options)
        dataset: Dataset = loaded[key]
        return dataset

    monkeypatch.setattr(run_module, "load_dataset", load_once)
    overrides = (*overrides, *TWO_STEPS, "diagnostics.figures=false")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = runs.run(*overrides)
    folder = runs.folder(*overrides)
    assert 0 <= score < math.inf
    assert runs.status(folder)["state"] == "finished"
    assert [r["step"] for r in runs.records(folder) if r["kind"] == "epoch"] == [2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_gpu_trainer_says_that_there_is_none(runs: Any) -> None:
    with pytest.raises(UserError, match=r"no CUDA device here. Write trainer=cpu"):
        runs.run("trainer=gpu", *TWO_STEPS)


def test_these_are_all_groups() -> None:
    """A new group needs a line above; `task`, `protocol` and `paper` come with their data set or (data, cell) pair.

    Those that other commands read are composed in tests/paper and tests/tune.
    """
    tested = {"cell", "data", "optimizer", "diagnostics", "tracking", "trainer", "experiment"}
    of_others = {"study", "table", "figure", "claim", "tune"}
    assert {path.name for path in conf_dir().iterdir() if path.is_dir()} == (
        tested | of_others | {"task", "protocol", "paper"}
    )
    pairs = {f"{data}_{cell}" for data, cell in product(options("data"), options("cell"))}
    assert set(options("paper")) <= pairs
    assert set(options("protocol")) == set(options("data"))
    assert set(options("task")) == set(METRICS)
