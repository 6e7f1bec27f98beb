"""What a whole run records and returns."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from momentum_exp.tracking.selection import CHOSEN

SHORT = ("trainer.epochs=2", "diagnostics.figures=false", "diagnostics=none", "trainer.log_every=1")  # 3 steps an epoch


def epochs(runs: Any, folder: Path) -> list[dict[str, Any]]:
    return [record for record in runs.records(folder) if record["kind"] == "epoch"]


def steps(runs: Any, folder: Path) -> list[dict[str, Any]]:
    return [record for record in runs.records(folder) if record["kind"] == "step"]


def test_the_selection_metric_is_the_best_validation_accuracy(runs: Any) -> None:
    score = runs.run(*SHORT)
    measured = epochs(runs, runs.folder(*SHORT))
    assert len(measured) == 2
    assert score == max(epoch["val_accuracy"] for epoch in measured)


def test_without_validation_it_is_the_final_test_accuracy(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = (*SHORT, "data.validation=0", "optimizer.lr=0.05")
    score, folder = runs.run(*overrides), runs.folder(*overrides)
    measured = epochs(runs, folder)
    assert score == measured[-1]["test_accuracy"]
    assert not any(name.startswith("val_") for epoch in measured for name in epoch)
    said = capsys.readouterr().out
    assert "best_val  --  (no validation rows: data.validation holds some out)" in said
    assert "chosen on the test set" in said
    assert "selection: final test accuracy, no validation rows" in said
    summary = runs.status(folder)["summary"]
    assert set(summary) == set(CHOSEN)
    assert summary["best_val"] is None
    assert summary["best_test"]["test_accuracy"] == max(epoch["test_accuracy"] for epoch in measured)


def test_each_row_is_trained_on_once_an_epoch_and_the_epochs_mean_is_over_rows(runs: Any) -> None:
    """20 rows in batches of 8: the last batch of 4 weighs half."""
    overrides = (*SHORT, "optimizer=sgd", "optimizer.lr=1e-30")  # the weights stay
    runs.run(*overrides)
    folder = runs.folder(*overrides)
    losses = [record["train_loss"] for record in steps(runs, folder)]
    assert len(losses) == 6
    for epoch, of_epoch in zip(epochs(runs, folder), (losses[:3], losses[3:]), strict=True):
        assert epoch["train_loss"] == pytest.approx(np.average(of_epoch, weights=[8, 8, 4]))
    assert epochs(runs, folder)[0]["train_loss"] == pytest.approx(epochs(runs, folder)[1]["train_loss"], rel=1e-6)
    assert losses[:3] != losses[3:]  # another order


def test_the_end_in_the_middle_of_an_epoch_is_evaluated(runs: Any) -> None:
    overrides = (*SHORT, "trainer.max_steps=4")
    runs.run(*overrides)
    measured = epochs(runs, runs.folder(*overrides))
    assert [(epoch["epoch"], epoch["step"]) for epoch in measured] == [(1, 3), (1.3333, 4)]
    assert all("test_loss" in epoch for epoch in measured)


@pytest.mark.parametrize(("clip_norm", "fraction"), [("1e-6", 1.0), ("1e6", 0.0), ("null", 0.0)])
def test_the_fraction_of_clipped_steps(runs: Any, clip_norm: str, fraction: float) -> None:
    overrides = (*SHORT, f"trainer.clip_norm={clip_norm}")
    runs.run(*overrides)
    folder = runs.folder(*overrides)
    assert {record["clipped_fraction"] for record in [*steps(runs, folder), *epochs(runs, folder)]} == {fraction}
    assert all(record["grad_norm"] > 1e-6 for record in steps(runs, folder))  # as it was before clipping


def test_clipping_bounds_the_step(runs: Any) -> None:
    """With sgd at rate 1 and one step, the weights move by the clipped gradient."""
    overrides = ("optimizer=sgd", "optimizer.lr=1.0", "diagnostics=none")
    states = []
    for extra in (("trainer.clip_norm=0.01",), ("trainer.clip_norm=1e-30",)):
        runs.run(*overrides, *extra, "trainer.max_steps=1")
        folder = runs.folder(*overrides, *extra, "trainer.max_steps=1")
        states.append(torch.load(folder / "checkpoint.pt", weights_only=True)["model"])
    moved = math.sqrt(sum(float((states[0][name] - states[1][name]).double().square().sum()) for name in states[0]))
    assert moved == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("cell", ["lstm", "momentumlstm", "adamlstm", "srlstm_released"])
def test_bf16_trains_close_to_float32(runs: Any, cell: str) -> None:
    losses = []
    for precision in ("float32", "bf16"):
        overrides = (*SHORT, f"cell={cell}", f"trainer.precision={precision}")
        runs.run(*overrides)
        losses.append(epochs(runs, runs.folder(*overrides))[-1]["test_loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_held_out_rows_are_the_users_choice(runs: Any) -> None:
    overrides = (*SHORT, "data.validation=5", "data.limit=2000", "trainer.max_steps=1")
    runs.run(*overrides)
    (epoch,) = epochs(runs, runs.folder(*overrides))
    assert epoch["val_accuracy"] * 5 == pytest.approx(round(epoch["val_accuracy"] * 5))


def test_diagnostics_are_measured_in_the_first_step_and_every_k_th_after(runs: Any) -> None:
    overrides = ("trainer.epochs=3", "diagnostics.every=4", "diagnostics.figures=false")  # 9 steps
    runs.run(*overrides)
    folder = runs.folder(*overrides)
    with np.load(folder / "diagnostics.npz", allow_pickle=False) as arrays:
        assert arrays["step"].tolist() == [1, 5, 9]
        assert {name: (arrays[name].shape, arrays[name].dtype) for name in arrays.files if name != "step"} == {
            "h_l0": ((3, 64), np.float32),
            "c_l0": ((3, 64), np.float32),
        }
        assert (arrays["h_l0"] >= 0).all()
        assert (arrays["h_l0"][:, -1] > 0).all()
    for kind in ("parameters", "gates"):
        assert [record["step"] for record in runs.records(folder) if record["kind"] == kind] == [1, 5, 9]


@pytest.mark.parametrize(
    ("off", "kinds", "array"),
    [
        ("gradient_through_time", {"parameters", "gates"}, False),
        ("gate_saturation", {"parameters"}, True),
        ("parameter_norms", {"gates"}, True),
    ],
)
def test_each_diagnostic_has_its_switch(runs: Any, off: str, kinds: set[str], array: bool) -> None:
    overrides = ("trainer.max_steps=1", f"diagnostics.{off}=false", "diagnostics.figures=false")
    runs.run(*overrides)
    folder = runs.folder(*overrides)
    assert {record["kind"] for record in runs.records(folder)} == kinds | {"step", "epoch"}
    assert (folder / "diagnostics.npz").exists() is array


def test_the_parameters_norms_are_those_before_clipping(runs: Any) -> None:
    overrides = ("trainer.max_steps=1", "trainer.log_every=1", "trainer.clip_norm=1e-3", "diagnostics.figures=false")
    runs.run(*overrides)
    found = {record["kind"]: record for record in runs.records(runs.folder(*overrides))}
    norms = found["parameters"]["grad_norms"]
    assert set(norms) == {
        *(f"cell.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
        *("readout.weight", "readout.bias"),
    }
    assert math.hypot(*norms.values()) == pytest.approx(found["step"]["grad_norm"], rel=1e-5)


def test_a_run_says_what_it_ran_on(runs: Any) -> None:
    overrides = (*SHORT, "trainer.max_steps=1")
    runs.run(*overrides)
    folder = runs.folder(*overrides)
    (facts,) = json.loads((folder / "environment.json").read_text())
    assert torch.__version__.startswith(facts["packages"]["torch"])
    assert (facts["threads"], facts["precision"]) == (1, "float32")
    assert facts["device"].startswith("cpu: ")
    assert facts["parameters"] == 16 * (1 + 4 + 2) + 10 * (4 + 1) == runs.status(folder)["parameters"]
    assert {"command", "commit", "dirty", "python"} <= set(facts)
    status = runs.status(folder)
    assert (status["step"], status["total_steps"]) == (1, 1)
    assert status["started"] <= status["finished"]
    assert (folder / "identity.json").exists()


def test_figures_are_drawn_at_the_end(runs: Any) -> None:
    overrides = ("trainer.max_steps=2", "diagnostics.every=1")
    runs.run(*overrides)
    figures = {path.name for path in (runs.folder(*overrides) / "figures").iterdir()}
    assert {"convergence.png", "gradient_heat_map.png", "gradient_lines.png"} <= figures
