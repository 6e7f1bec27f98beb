"""Learning curves: a row a study, a column a loss or metric; the authors' over ours or, at another scale, beside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from momentum_exp.paper.figure.base import Drawing, Found, PaperFigure, absent, find, require_some
from momentum_exp.paper.published_curves import published_curves
from momentum_exp.paper.study import SCALES, Planned, load_study, plan
from momentum_exp.summary.series import draw_band, series, thin
from momentum_exp.summary.style import colour, line_styles, styled
from momentum_exp.tracking.run_record import RunRecord

PANEL, HEIGHT, LEGEND_LINE = 2.7, 2.7, 0.19  # inches
WIDTH = 7.5  # at least: the headings need it
TICKS = {30: (1, 2, 5), 200: (1, 3)}  # of a logarithmic axis shorter than this factor
NAMES = {"train": "training", "val": "validation", "test": "test"}


@dataclass
class Row:
    """One study: which of its arms, what is shown of them, and where the authors' curves of the same are.

    shows: keys of the records, `train_loss` by iteration, others by epoch. authors: the file of published/curves for
    each of these. models: the arm that each of the authors' models stands for. setting: what the authors' runs had.
    x, y: `linear` or `log`. scales: where the row is drawn.
    """

    study: str
    arms: list[str]
    shows: list[str]
    authors: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    setting: str = ""
    x: str = "linear"
    y: str = "linear"
    scales: list[str] = field(default_factory=lambda: list(SCALES))


@dataclass
class Curves(PaperFigure):
    """Losses and metrics as training goes on."""

    rows: list[Row] = field(default_factory=list)

    def needs(self, scale: str, seeds: Sequence[int]) -> list[Planned]:
        return [run for row in self.rows for run in _planned(row, scale, seeds)]

    @styled
    def draw(self, name: str, scale: str, seeds: Sequence[int], runs: Path) -> Drawing:
        rows = [(row, _planned(row, scale, seeds)) for row in self.rows]
        both = [(row, find(load_study(row.study), planned, scale, runs)) for row, planned in rows if planned]
        if not both:
            return absent(scale)
        require_some(name, scale, [found for _, found in both], runs)
        shown = [(row, found) for row, found in both if found.any]
        beside = scale != "full" and any(row.authors for row, _ in shown)
        columns = max(len(row.shows) for row, _ in shown) * (2 if beside else 1)
        width = max(PANEL * columns, WIDTH)
        heights = [HEIGHT + LEGEND_LINE * -(-len(found.runs) // int(width // PANEL)) for _, found in shown]
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, (row, found) in zip(parts, shown, strict=True):
            _draw_row(part, row, found, columns, int(width // PANEL))
        says = ["Lines are means over seeds, bands reach from their minimum to their maximum."]
        says += [f"Not drawn, no run is finished: {found.heading}." for _, found in both if not found.any]
        if any(row.authors for row, _ in shown):
            where = "on a grey ground, at the paper's scale: not to be read against ours" if beside else "dotted"
            says.append(f"The authors' curves, from their released logs, are {where}.")
        return Drawing({"": figure}, [found for _, found in both], says)


def _planned(row: Row, scale: str, seeds: Sequence[int]) -> list[Planned]:
    return plan(load_study(row.study), scale, seeds, row.arms) if scale in row.scales else []


def _draw_row(part: SubFigure, row: Row, found: Found, columns: int, legend_columns: int) -> None:
    """Our panels, then the authors' where the scale is not theirs, then the legend."""
    axes = part.subplots(1, columns, squeeze=False)[0]
    shades = {arm: colour(*found.cell(arm)) for arm in found.runs}
    styles = dict(zip(shades, line_styles(list(shades.values())), strict=True))
    place = count()
    for shows in row.shows:
        panel = axes[next(place)]
        for arm, runs in found.runs.items():
            if runs:
                _ours(panel, runs, shows, row.x == "log", shades[arm], styles[arm])
        _baselines(panel, found, shows)
        if found.scale == "full" and shows in row.authors:
            _authors(panel, row, shows, shades, ":")
        _finish(panel, row, found, shows)
    if found.scale != "full":
        for shows in [shows for shows in row.shows if shows in row.authors]:
            panel = axes[next(place)]
            _authors(panel, row, shows, shades, "-")
            _finish(panel, row, found, shows)
            panel.set(facecolor="#eeeeee", title=f"AUTHORS: {panel.get_title()}\n{row.setting}")
    for panel in axes[next(place) :]:
        panel.set_axis_off()
    part.suptitle(found.heading, fontsize=10, fontweight="bold", x=0.01, ha="left")
    handles = [
        Line2D([], [], color=shades[arm] if runs else "none", linestyle=styles[arm], label=found.label(arm))
        for arm, runs in found.runs.items()
    ]
    handles += [line for line in axes[0].lines if not str(line.get_label()).startswith("_")]
    if found.scale == "full" and row.authors:
        handles.append(Line2D([], [], color="#555555", linestyle=":", marker="o", markersize=3, label="authors"))
    legend = part.legend(
        handles=handles, loc="outside lower center", ncols=legend_columns, fontsize=8, handlelength=2.6
    )
    for text, runs in zip(legend.get_texts(), found.runs.values(), strict=False):
        text.set_color("black" if runs else "#888888")


def _ours(panel: Axes, runs: Sequence[RunRecord], shows: str, log: bool, shade: str, line_style: str) -> None:
    by_iteration = shows == "train_loss"
    records = [run.steps if by_iteration else run.epochs for run in runs]
    x, y_RX = series(records, "step" if by_iteration else "epoch", shows)
    if not len(x):
        return
    x, y_RX = thin(x, y_RX, log)
    if shows.endswith(f"_{runs[0].metric.name}"):
        y_RX = runs[0].metric.scale * y_RX
    draw_band(panel, x, y_RX.mean(axis=0), y_RX.min(axis=0), y_RX.max(axis=0), shade, line_style)


def _baselines(panel: Axes, found: Found, shows: str) -> None:
    """The losses that take no training, dotted."""
    baselines = {name: loss for runs in found.runs.values() for run in runs for name, loss in run.baselines.items()}
    for name, loss in baselines.items():
        if shows.endswith("_loss"):
            panel.axhline(loss, color="#555555", linestyle=":", label=f"{name}: {loss:.4g}")


def _authors(panel: Axes, row: Row, shows: str, shades: dict[str, str], line_style: str) -> None:
    for model, curve in published_curves(row.authors[shows]).items():
        if (arm := row.models.get(model)) in shades:
            draw_band(panel, curve.x, curve.mean, curve.low, curve.high, shades[arm], line_style, f"_{model}")


def _finish(panel: Axes, row: Row, found: Found, shows: str) -> None:
    metric = next(run for runs in found.runs.values() for run in runs).metric
    part, _, what = shows.partition("_")
    panel.set(
        title=f"{NAMES[part]} {what}",
        xlabel="iteration" if shows == "train_loss" else "epoch",
        ylabel=metric.loss if what == "loss" else metric.label,
        xscale=row.x,
        yscale=row.y,
    )
    for axis, scale in ((panel.xaxis, row.x), (panel.yaxis, row.y)):
        if scale == "log":
            _plain_ticks(axis)
    if row.x == "linear":
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _plain_ticks(axis: Axis) -> None:
    """Enough ticks on a logarithmic axis to read it by: powers of ten alone are too few on a short one."""
    low, high = axis.get_view_interval()
    subs = next((subs for factor, subs in TICKS.items() if high < factor * low), None)
    if subs:
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
