"""Records of several runs as one curve: the mean over seeds and the range between them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

POINTS = 200  # of a training curve; more than these are averaged, or the line is all noise


def series(runs: Sequence[Sequence[dict[str, Any]]], x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the run that recorded least often, as far as all runs go (X,), and each run's values (R, X).

    A run that recorded more often has the mean of what it recorded since the position before; null becomes NaN, as is
    what there is none of.
    """
    points = [np.array([(record[x], record[y]) for record in records if y in record], dtype=float) for records in runs]
    if not all(map(len, points)):
        return np.empty(0), np.empty((len(runs), 0))
    end = min(each[-1, 0] for each in points)
    within = [each[each[:, 0] <= end] for each in points]
    grid = min((each[:, 0] for each in within), key=len)
    values = np.full((len(runs), len(grid)), np.nan)
    for row, each in zip(values, within, strict=True):
        part = np.searchsorted(grid, each[:, 0])
        counts = np.bincount(part, minlength=len(grid))
        np.divide(np.bincount(part, each[:, 1], len(grid)), counts, out=row, where=counts > 0)
    return grid, values


def thin(x: np.ndarray, y_RX: np.ndarray, log: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """At most POINTS points: the mean over each of as many equal parts of the axis, at the last position in it.

    With `log` the parts are equal on a logarithmic axis. Parts without a record have no point.
    """
    if len(x) <= POINTS:
        return x, y_RX
    place = np.log(x) if log else x
    part = np.searchsorted(np.linspace(place[0], place[-1], POINTS + 1)[1:-1], place)
    last = np.flatnonzero(np.diff(part, append=POINTS))
    first = np.concatenate([[0], last[:-1] + 1])
    return x[last], np.add.reduceat(y_RX, first, axis=1) / (last - first + 1)


def draw_band(
    panel: Axes,
    x: np.ndarray,
    mean: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    shade: str,
    line_style: str = "-",
    label: str | None = None,
) -> None:
    """A line of (X,) means, and a band from `low` to `high` where they differ; few points are marked."""
    marker = "o" if len(x) <= 30 else None
    panel.plot(x, mean, color=shade, linestyle=line_style, marker=marker, markersize=3, label=label)
    if not np.array_equal(low, high, equal_nan=True):
        panel.fill_between(x, low, high, color=shade, alpha=0.15, linewidth=0)
