"""The authors' own curves, and our runs beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from momentum_exp.errors import UserError
from momentum_exp.paper.groups import group_runs
from momentum_exp.paper.published_curves import published_curves
from momentum_exp.paper.run_record import RunRecord
from momentum_exp.paper.series import draw_band
from momentum_exp.paper.style import figure_of, group_colour, save, styled

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

CURVES = "pmnist_n256_test_loss"
TICKS = (1, 2, 5, 10, 20, 50, 100)


def pmnist_comparison(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """One row for each epoch of each run: our test loss beside the authors' range, None where they give none.

    Raises UserError for a run of another cell, or one that differs from the authors' protocol.
    """
    published = published_curves(CURVES)
    rows = []
    for run in runs:
        curve = published[_model(run)]
        points = {epoch: place for place, epoch in enumerate(curve.x.tolist())}
        for record in run.epochs:
            place, loss = points.get(record["epoch"]), record["test_loss"]
            low, mean, high = (None if place is None else float(y[place]) for y in (curve.low, curve.mean, curve.high))
            rows.append(
                {
                    "cell": run.identity["cell"],
                    "seed": run.seed,
                    "run": run.identity["hash"],
                    "epoch": record["epoch"],
                    "test_loss": loss and round(loss, 5),
                    "authors_min": low,
                    "authors_mean": mean,
                    "authors_max": high,
                    "authors_seeds": None if place is None else curve.n_seeds,
                    "within": None if low is None or high is None else loss is not None and low <= loss <= high,
                }
            )
    return rows


@styled
def pmnist_overlay(runs: Sequence[RunRecord], path: Path) -> Figure:
    """Draw our test loss by epoch over the authors' range and mean, one panel a configuration.

    Raises UserError as `pmnist_comparison`.
    """
    groups = group_runs(runs)
    published = {run.identity["cell"]: published_curves(CURVES)[_model(run)] for run in runs}
    figure, axes = figure_of(1, len(groups), height=3.0)
    last = max(record["epoch"] for run in runs for record in run.epochs)
    ticks = [tick for tick in TICKS if tick <= 4 * last]
    for panel, group in zip(axes[0], groups, strict=True):
        curve, shade = published[group.cell], group_colour(group)
        draw_band(panel, curve.x, curve.mean, curve.low, curve.high, shade, label="authors, mean")
        panel.collections[-1].set_label(f"authors, range over {curve.n_seeds} seeds")
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
