"""Loss and metric as training goes on: the mean over seeds, and the range between them."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from momentum_exp.metrics import Metric
from momentum_exp.paper.groups import Group, group_runs
from momentum_exp.paper.run_record import RunRecord
from momentum_exp.paper.style import colour, figure_of, line_styles, save, styled

POINTS = 200  # of a training curve; more than these are averaged, or the line is all noise


def panels(metric: Metric) -> list[tuple[str, str, str]]:
    """Title, x and y label of each panel; the metric has one of its own unless it is the loss."""
    losses = [("training loss", "iteration", metric.loss), ("test loss", "epoch", metric.loss)]
    return losses if metric.name == "loss" else [*losses, (f"test {metric.name}", "epoch", metric.label)]


@styled
def convergence(runs: Sequence[RunRecord], path: Path) -> Figure:
    """Draw training loss by iteration, test loss and metric by epoch, of runs on one data set and task.

    A line is the mean over the seeds of one configuration, its band reaches from their minimum to their
    maximum; n is in the legend. A training loss is the mean since the record before. Grey, dotted: the losses
    that take no training.
    """
    groups = group_runs(runs)
    metric = runs[0].metric
    shown = panels(metric)
    baselines = dict.fromkeys(baseline for run in runs for baseline in run.baselines.items())
    lines = len(groups) + len(baselines)
    figure, axes = figure_of(1, len(shown), height=2.6 + 0.2 * (lines // len(shown)))
    for group, line_style in zip(groups, line_styles(groups), strict=True):
        for panel, (x, y_RX) in zip(axes[0], _curves(group, metric), strict=True):
            _band(panel, x, y_RX, group, line_style)
    for (name, loss), panel in product(baselines, axes[0, :2]):
        panel.axhline(loss, color="#888888", linestyle=":", label=f"{name}: {loss:.4g}")
    for panel, (title, x_label, y_label) in zip(axes[0], shown, strict=True):
        panel.set(title=f"{groups[0].data}: {title}", xlabel=x_label, ylabel=y_label)
        panel.xaxis.get_major_locator().set_params(integer=True)
    several = any(len(group.runs) > 1 for group in groups)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(lines, len(shown)),
        title="mean over n seeds, band from minimum to maximum" if several else None,
    )
    save(figure, path)
    return figure


def _curves(group: Group, metric: Metric) -> list[tuple[np.ndarray, np.ndarray]]:
    epochs = [run.epochs for run in group.runs]
    curves = [_thin(*_series([run.steps for run in group.runs], "step", "train_loss"))]
    curves.append(_series(epochs, "epoch", "test_loss"))
    if metric.name != "loss":
        x, y_RX = _series(epochs, "epoch", f"test_{metric.name}")
        curves.append((x, metric.scale * y_RX))
    return curves


def _series(runs: list[list[dict[str, Any]]], x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """The positions that all runs recorded (X,), and each run's values there (R, X); null becomes NaN."""
    by_position = [{record[x]: record[y] for record in records if y in record} for records in runs]
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
