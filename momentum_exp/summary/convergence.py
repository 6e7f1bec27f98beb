"""Loss and metric as training goes on: the mean over seeds, and the range between them."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from momentum_exp.metrics import Metric
from momentum_exp.summary.groups import Group, group_runs
from momentum_exp.summary.series import draw_band, series, thin
from momentum_exp.summary.style import figure_of, group_colour, line_styles, save, styled
from momentum_exp.tracking.run_record import RunRecord


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
    styles = line_styles([group_colour(group) for group in groups])
    for group, line_style in zip(groups, styles, strict=True):
        for panel, (x, y_RX) in zip(axes[0], _curves(group, metric), strict=True):
            mean, low, high = y_RX.mean(axis=0), y_RX.min(axis=0), y_RX.max(axis=0)
            draw_band(panel, x, mean, low, high, group_colour(group), line_style, group.label)
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
    curves = [thin(*series([run.steps for run in group.runs], "step", "train_loss"))]
    curves.append(series(epochs, "epoch", "test_loss"))
    if metric.name != "loss":
        x, y_RX = series(epochs, "epoch", f"test_{metric.name}")
        curves.append((x, metric.scale * y_RX))
    return curves
