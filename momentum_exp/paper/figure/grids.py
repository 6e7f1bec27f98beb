"""A table over mu and s as heat maps, ours above and the published below."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from textwrap import fill

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from momentum_exp.metrics import METRICS, Metric
from momentum_exp.paper.figure.base import Drawing, Found, PaperFigure, absent, find, require_some
from momentum_exp.paper.published_numbers import published
from momentum_exp.paper.quantity import QUANTITIES
from momentum_exp.paper.study import Planned, Study, load_study, plan
from momentum_exp.paper.table import Column, Table, load_table
from momentum_exp.summary.style import figure_of, styled

WIDTH = 40  # characters a line of a panel's title
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue
LOG = 3.0  # a range of positive numbers wider than this factor has logarithmic colours

Grid = Mapping[tuple[float, float], float]
"""A number for each (mu, s)."""


@dataclass
class Grids(PaperFigure):
    """The columns of the table `table` of conf/table, whose studies vary mu and s and nothing else."""

    table: str = ""

    def needs(self, scale: str, seeds: Sequence[int]) -> list[Planned]:
        return [run for column in self._table.columns for run in plan(load_study(column.study), scale, seeds)]

    @property
    def _table(self) -> Table:
        return load_table(self.table)

    @styled
    def draw(self, name: str, scale: str, seeds: Sequence[int], runs: Path) -> Drawing:
        columns = {column.study: column for column in self._table.columns}
        found = [find(load_study(study), plan(load_study(study), scale, seeds), scale, runs) for study in columns]
        if not any(part.planned for part in found):
            return absent(scale)
        require_some(name, scale, found, runs)
        figure, axes = figure_of(2, len(found), width=3.3, height=3.2)
        says = ["A number is the mean over seeds; brighter is better, dashes are runs that are missing."]
        for part, column, (above, below) in zip(found, columns.values(), axes.T, strict=True):
            metric = _metric(part.study)
            own, theirs = _own(part, column), _published(part.study, column)
            shared = [*own.values(), *theirs.values()] if scale == "full" else None
            quantity = QUANTITIES[column.quantity]
            heading, show = quantity.heading(metric, column.split, column.threshold), partial(quantity.show, metric)
            ours = shared or own.values()
            where = part.heading if part.planned else f"{part.study.title} does not exist at scale {scale}"
            _draw_grid(above, own, show, metric.higher, ours, f"OURS ({_counts(part)}): {heading}\n{where}")
            title = f"PUBLISHED, full scale: {heading}\n{part.study.title}"
            _draw_grid(below, theirs, show, metric.higher, shared or theirs.values(), title)
            says.append(f"{part.study.title_at(scale)}: {heading} {quantity.selection(column.rule)}.")
        shares = "Ours and the published of a task share" if scale == "full" else "Each panel has"
        says.append(f"{shares} one scale of colours, logarithmic where the numbers span more than a factor of {LOG:g}.")
        says.append("Published: the arrays of the ablation in the authors' released notebook.")
        return Drawing({"": figure}, [part for part in found if part.planned], [*says, *self._table.notes])


def places(study: Study) -> dict[str, tuple[float, float]]:
    """The (mu, s) that each arm of a study sets."""
    values = {
        name: dict(override.split("=", 1) for override in arm.overrides if "=" in override)
        for name, arm in study.arms.items()
    }
    return {name: (float(own["cell.mu"]), float(own["cell.s"])) for name, own in values.items()}


def _metric(study: Study) -> Metric:
    """What the study's task is judged by."""
    first = next(iter(study.at("full")))
    return METRICS[plan(study, "full", [0], [first])[0].config.task.name]


def _own(found: Found, column: Column) -> Grid:
    """The mean over seeds where there are runs."""
    of, at = QUANTITIES[column.quantity].of, places(found.study)
    values = {
        arm: [value for run in runs if (value := of(run, column.split, column.rule, column.threshold)) is not None]
        for arm, runs in found.runs.items()
    }
    return {at[arm]: mean(there) for arm, there in values.items() if there}


def _published(study: Study, column: Column) -> Grid:
    numbers = {place: published(study.name, arm, column.key, column.split) for arm, place in places(study).items()}
    return {place: float(there[0].value) for place, there in numbers.items() if there}


def _counts(found: Found) -> str:
    counts = sorted({len(runs) for runs in found.runs.values()} or {0})
    if counts == [0]:
        return "no run yet"
    return f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"


def _draw_grid(
    panel: Axes, grid: Grid, show: Callable[[float], str], higher: bool, scale: Iterable[float], title: str
) -> None:
    """An image with its numbers, mu upwards and s to the right; its colours reach over the numbers in `scale`.

    Bright is better: `higher` says whether that is a higher number.
    """
    panel.set_title("\n".join(fill(line, WIDTH) for line in title.split("\n")), fontsize=8)
    if not grid:
        panel.set_axis_off()
        return
    mus, steps = (sorted({place[axis] for place in grid}) for axis in (0, 1))
    values_MS = np.array([[grid.get((mu, s), np.nan) for s in steps] for mu in mus])
    norm = _norm(list(scale))
    colours = colormaps["viridis" if higher else "viridis_r"]
    panel.imshow(values_MS, norm=norm, cmap=colours, origin="lower", aspect="auto")
    panel.set_xticks(range(len(steps)), [f"{s:g}" for s in steps])
    panel.set_yticks(range(len(mus)), [f"{mu:g}" for mu in mus])
    panel.set(xlabel="$s$", ylabel=r"$\mu$")
    panel.grid(False)
    for (row, place), value in np.ndenumerate(values_MS):
        missing = np.isnan(value)
        dark = not missing and np.dot(colours(norm(value))[:3], LUMINANCE) < 0.5
        text = "--" if missing else show(value)
        panel.text(place, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")


def _norm(values: Sequence[float]) -> Normalize:
    low, high = min(values), max(values)
    return LogNorm(low, high) if low > 0 and high > LOG * low else Normalize(low, high)
