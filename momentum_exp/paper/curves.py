"""The authors' own curves, and our runs beside them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from momentum_exp.errors import UserError
from momentum_exp.paper.groups import group_runs
from momentum_exp.paper.run_record import RunRecord
from momentum_exp.paper.style import colour, figure_of, save, styled

# Cells of ours with a published curve. The release has two SRLSTM formulas; which one was logged is unknown.
MODELS = {
    "lstm": "LSTM",
    "momentumlstm": "MomentumLSTM",
    "adamlstm": "AdamLSTM",
    "rmsproplstm": "RMSPropLSTM",
    "srlstm": "SRLSTM",
    "srlstm_released": "SRLSTM",
}

# What the authors' runs have in common (recipes of the release), and what each model adds.
PROTOCOL = {
    "cell.hidden_size": 256,
    "cell.num_layers": 1,
    "cell.bidirectional": False,
    "cell.init": "released",
    "data.name": "mnist",
    "data.permutation": "released",
    "data.validation": 0,
    "data.limit": None,
    "optimizer.name": "rmsprop",
    "optimizer.lr": 0.001,
    "optimizer.alpha": 0.9,
    "trainer.batch_size": 128,
    "trainer.clip_norm": 1.0,
}
SETTINGS: dict[str, dict[str, object]] = {
    "LSTM": {},
    "MomentumLSTM": {"cell.mu": 0.6, "cell.s": 1.0},
    "AdamLSTM": {"cell.mu": 0.6, "cell.s": 1.0, "cell.beta": 0.01},
    "RMSPropLSTM": {"cell.s": 1.0, "cell.beta": 0.01},
    "SRLSTM": {"cell.s": 0.9, "cell.restart": 40},
}

TICKS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class PublishedPoint:
    """Test loss (nats) after `epoch` epochs of training, over `n_seeds` seeds of the authors' logs."""

    epoch: int
    n_seeds: int
    mean: float
    min: float
    max: float


def published_pmnist() -> dict[str, list[PublishedPoint]]:
    """The authors' PMNIST test losses at N = 256 by model name (published/README.md).

    The logs count epochs from 0 and measure after the epoch; here `epoch` is the number trained, from 1.
    """
    curves: dict[str, list[PublishedPoint]] = {}
    text = files(__package__).joinpath("published", "pmnist_n256_test_loss.csv").read_text()
    for row in csv.DictReader(text.splitlines()):
        curves.setdefault(row["model"], []).append(
            PublishedPoint(
                epoch=int(row["epoch"]) + 1,
                n_seeds=int(row["n_seeds"]),
                mean=float(row["mean"]),
                min=float(row["min"]),
                max=float(row["max"]),
            )
        )
    return curves


def pmnist_comparison(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """One row for each epoch of each run: our test loss beside the authors' range, None where they give none.

    Raises UserError for a run of another cell, or one that differs from the authors' protocol.
    """
    published = published_pmnist()
    rows = []
    for run in runs:
        points = {point.epoch: point for point in published[_model(run)]}
        for record in run.epochs:
            point, loss = points.get(record["epoch"]), record["test_loss"]
            rows.append(
                {
                    "cell": run.identity["cell"],
                    "seed": run.seed,
                    "run": run.identity["hash"],
                    "epoch": record["epoch"],
                    "test_loss": loss and round(loss, 5),
                    "authors_min": point and point.min,
                    "authors_mean": point and point.mean,
                    "authors_max": point and point.max,
                    "authors_seeds": point and point.n_seeds,
                    "within": point and loss is not None and point.min <= loss <= point.max,
                }
            )
    return rows


@styled
def pmnist_overlay(runs: Sequence[RunRecord], path: Path) -> Figure:
    """Draw our test loss by epoch over the authors' range and mean, one panel a configuration.

    Raises UserError as `pmnist_comparison`.
    """
    groups = group_runs(runs)
    published = {run.identity["cell"]: published_pmnist()[_model(run)] for run in runs}
    figure, axes = figure_of(1, len(groups), height=3.0)
    last = max(record["epoch"] for run in runs for record in run.epochs)
    ticks = [tick for tick in TICKS if tick <= 4 * last]
    for panel, group in zip(axes[0], groups, strict=True):
        _authors(panel, published[group.cell], colour(group))
        seeds = ", ".join(str(run.seed) for run in group.runs)
        for run in group.runs:
            panel.plot(
                [record["epoch"] for record in run.epochs],
                [record["test_loss"] for record in run.epochs],
                color="black",
                marker="o",
                markersize=3,
                linewidth=1,
                label=f"ours, seed {seeds}" if run is group.runs[0] else None,
            )
        title = f"{group.cell}, {group.data}, N = {group.hidden_size}"
        panel.set_title("\n".join([title, group.settings]) if group.settings else title)
        panel.set(xlabel="epochs trained", ylabel="test cross-entropy (nats)", xscale="log")
        panel.set(ylim=(0, None), xlim=(0.9, min(160, 4 * last)), xticks=ticks, xticklabels=ticks)
        panel.minorticks_off()
        panel.legend(loc="upper right", fontsize=7)
    save(figure, path)
    return figure


def _authors(panel: Axes, points: Sequence[PublishedPoint], shade: str) -> None:
    epoch, n = [point.epoch for point in points], points[0].n_seeds
    low, high = [point.min for point in points], [point.max for point in points]
    label = f"authors, range over {n} seeds"
    panel.fill_between(epoch, low, high, color=shade, alpha=0.2, linewidth=0, label=label)
    panel.plot(epoch, [point.mean for point in points], color=shade, label="authors, mean")


def _model(run: RunRecord) -> str:
    cell = run.identity["cell"]
    if cell not in MODELS:
        raise UserError(
            f"{run.path} has no published curve: its cell is {cell}; there are curves for {', '.join(MODELS)}"
        )
    for key, expected in (PROTOCOL | SETTINGS[MODELS[cell]]).items():
        group, name = key.split(".")
        if (found := run.config[group].get(name)) != expected:
            raise UserError(
                f"{run.path} has no published curve: it has {key}={found}, the authors' runs {key}={expected}; "
                f"write experiment=pmnist_{cell}_n256"
            )
    return MODELS[cell]
