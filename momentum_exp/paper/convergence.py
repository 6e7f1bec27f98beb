"""Loss and accuracy as training goes on: the mean over seeds, and the range between them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from momentum_exp.paper.groups import Group, group_runs
from momentum_exp.paper.run_record import RunRecord
from momentum_exp.paper.style import colour, figure_of, line_styles, save, styled

POINTS = 200  # of a training curve; more than these are averaged, or the line is all noise

PANELS = (
    ("training loss", "iteration", "cross-entropy (nats)"),
    ("test loss", "epoch", "cross-entropy (nats)"),
    ("test accuracy", "epoch", "accuracy (%)"),
)


@styled
def convergence(runs: Sequence[RunRecord], path: Path) -> Figure:
    """Draw training loss by iteration, test loss and test accuracy by epoch, of runs on one data set.

    A line is the mean over the seeds of one configuration, its band reaches from their minimum to their
    maximum; n is in the legend. A training loss is the mean since the record before.
    """
    groups = group_runs(runs)
    figure, axes = figure_of(1, len(PANELS), height=2.6 + 0.2 * (len(groups) // 3))
    for group, line_style in zip(groups, line_styles(groups), strict=True):
        for panel, (x, y_RX) in zip(axes[0], _curves(group), strict=True):
            _band(panel, x, y_RX, group, line_style)
    for panel, (title, x_label, y_label) in zip(axes[0], PANELS, strict=True):
        panel.set(title=f"{groups[0].data}: {title}", xlabel=x_label, ylabel=y_label)
        panel.xaxis.get_major_locator().set_params(integer=True)
    several = any(len(group.runs) > 1 for group in groups)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(len(groups), 3),
        title="mean over n seeds, band from minimum to maximum" if several else None,
    )
    save(figure, path)
    return figure


def _curves(group: Group) -> list[tuple[np.ndarray, np.ndarray]]:
    train = _series([run.steps for run in group.runs], "step", "train_loss")
    loss, accuracy = (
        _series([run.epochs for run in group.runs], "epoch", key) for key in ("test_loss", "test_accuracy")
    )
    return [_thin(*train), loss, (accuracy[0], 100 * accuracy[1])]


def _series(runs: list[list[dict[str, Any]]], x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """The positions that all runs recorded (X,), and each run's values there (R, X); null becomes NaN."""
    by_position = [{record[x]: record[y] for record in records} for records in runs]
    common = sorted(set.intersection(*map(set, by_position)))
    return np.array(common), np.array([[values[at] for at in common] for values in by_position], dtype=float)


def _thin(x: np.ndarray, y_RX: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours averaged until at most POINTS are left, each at the last position it covers."""
    width = -(-len(x) // POINTS) or 1
    left_over = len(x) % width
    means_RX = y_RX[:, left_over:].reshape(len(y_RX), -1, width).mean(axis=2)
    return x[left_over + width - 1 :: width], means_RX


def _band(panel: Axes, x: np.ndarray, y_RX: np.ndarray, group: Group, line_style: str) -> None:
    shade = colour(group)
    panel.plot(
        x,
        y_RX.mean(axis=0),
        color=shade,
        linestyle=line_style,
        marker="o" if len(x) <= 30 else None,
        markersize=3,
        label=group.label,
    )
    if len(y_RX) > 1:
        panel.fill_between(x, y_RX.min(axis=0), y_RX.max(axis=0), color=shade, alpha=0.2, linewidth=0)
