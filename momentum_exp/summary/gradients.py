"""Gradient norms through time: the heat map of the paper's Figure 2, and lines on a logarithmic axis."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from momentum_exp.errors import UserError
from momentum_exp.summary.style import figure_of, save, styled

DECADES = 10  # how far below the largest norm a logarithmic scale reaches
SPARSEST = 0.1  # of the iterations of the densest trace: what has fewer is not compared


Key = TypeVar("Key")


@dataclass(frozen=True)
class Trace:
    """Norms (K, T) of one state of one layer and direction, at K iterations (K,) and T time steps."""

    state: str
    step_K: np.ndarray
    norm_KT: np.ndarray

    @property
    def symbol(self) -> str:
        """`h_l0` in mathematics: the norm of the derivative of one sample's loss."""
        letter, _, place = self.state.partition("_l")
        above = "" if place == "0" else f"^{{({place.replace('_', ', ')})}}"
        return rf"$\|\partial \ell / \partial {letter}_t{above}\|_2$"


def load_traces(path: Path) -> dict[str, Trace]:
    """The traces in a `diagnostics.npz` by name: `h_l0`, `c_l0`, `h_l0_reverse`, ...

    Raises UserError where the file is missing, damaged or empty.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            traces = {name: Trace(name, arrays["step"], arrays[name]) for name in arrays if name != "step"}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path} has no readable gradient norms: {error}; run it again with force=true") from error
    if not traces or not len(next(iter(traces.values())).step_K):
        raise UserError(f"{path} has no gradient norms; train with diagnostics.gradient_through_time=true")
    return traces


def trace_of(path: Path, state: str) -> Trace:
    """The trace called `state` in a `diagnostics.npz`. Raises UserError as `load_traces`, or where it is not there."""
    traces = load_traces(path)
    if state not in traces:
        raise UserError(f"{path} has no gradient norms of {state}, but of {', '.join(traces)}")
    return traces[state]


def comparable(traces: Mapping[Key, Trace]) -> dict[Key, Trace]:
    """The traces at the iterations that all of them have, so that no difference is one of when they were recorded.

    Left out are those that are too sparse to be compared: of fewer iterations than SPARSEST of the densest one's, or of
    one where another has more.
    """
    most = max((len(trace.step_K) for trace in traces.values()), default=0)
    dense = {key: trace for key, trace in traces.items() if len(trace.step_K) >= min(most, max(2, SPARSEST * most))}
    if not dense:
        return {}
    common = reduce(np.intersect1d, (trace.step_K for trace in dense.values()))
    return {
        key: Trace(trace.state, common, trace.norm_KT[np.isin(trace.step_K, common)]) for key, trace in dense.items()
    }


def geometric_mean(traces: Sequence[Trace]) -> Trace:
    """The exponential of the mean of the logarithms of the norms (K, T), of traces at the same K iterations.

    A norm of 0 counts as float32's smallest normal number.
    """
    logarithms = [np.log(np.maximum(trace.norm_KT, np.finfo(np.float32).tiny, dtype=float)) for trace in traces]
    return Trace(traces[0].state, traces[0].step_K, np.exp(np.mean(logarithms, axis=0)))


def colour_scale(traces: Sequence[Trace], vmax: float | None = None) -> Normalize:
    """One scale for these traces: logarithmic, or with `vmax` linear from 0 to `vmax`."""
    return LogNorm(*_range(traces)) if vmax is None else Normalize(0, vmax)


def draw_norms(panel: Axes, trace: Trace, norm: Normalize) -> QuadMesh:
    """Draw the norms as an image: training iteration across, time step t down from 0."""
    image = panel.pcolormesh(
        _edges(trace.step_K),
        np.arange(trace.norm_KT.shape[1] + 1) - 0.5,
        np.maximum(trace.norm_KT.T, norm.vmin or 0.0),
        norm=norm,
        cmap="inferno",
        rasterized=True,
    )
    panel.invert_yaxis()
    panel.grid(False)
    return image


@styled
def gradient_heat_map(sources: Mapping[str, Path], path: Path, vmax: float | None = None) -> Figure:
    """Draw each source's norms as an image: training iteration across, time step t down from 0.

    `sources` maps a panel title to a `diagnostics.npz`. Panels of one state share the colour scale:
    logarithmic, or with `vmax` linear from 0 to `vmax` and larger norms saturated (0.05 in the paper's
    Figure 2). One source has its states side by side; several sources stand side by side, one state a row.
    """
    figure, rows = _panels(sources)
    for row in rows:
        norm = colour_scale([trace for _, _, trace in row], vmax)
        for panel, title, trace in row:
            image = draw_norms(panel, trace, norm)
            panel.set(title=title, xlabel="training iteration", ylabel="time step $t$")
        extend = "max" if vmax is not None else "min"
        bar = figure.colorbar(
            image, ax=[panel for panel, _, _ in row], extend=extend, fraction=0.15 / len(row), pad=0.02
        )
        bar.set_label(f"{row[0][2].symbol}, mean over the batch")
    save(figure, path)
    return figure


@styled
def gradient_lines(sources: Mapping[str, Path], path: Path, iterations: int = 5) -> Figure:
    """Draw the same norms over t on a logarithmic axis, one line for each of a few iterations."""
    figure, rows = _panels(sources)
    for row in rows:
        lowest, highest = _range([trace for _, _, trace in row])
        for panel, title, trace in row:
            panel.set_yscale("log", nonpositive="mask")  # a norm of exactly 0 is a gap
            panel.set_ylim(lowest / 2, highest * 2)
            chosen = np.unique(np.linspace(0, len(trace.step_K) - 1, iterations).round().astype(int))
            shades = colormaps["viridis"](np.linspace(0, 0.9, len(chosen)))
            for k, shade in zip(chosen, shades, strict=True):
                panel.plot(trace.norm_KT[k], color=shade, label=f"{trace.step_K[k]:,}")
            panel.set(title=title, xlabel="time step $t$", ylabel=f"{trace.symbol}, mean over the batch")
    panels = [panel for row in rows for panel, _, _ in row]
    legends = [panel.get_legend_handles_labels() for panel in panels]
    title = "iteration (a gap is a norm of exactly 0)"
    if all(labels == legends[0][1] for _, labels in legends):
        figure.legend(*legends[0], title=title, loc="outside lower center", ncols=len(legends[0][1]))
    else:
        for panel in panels:
            panel.legend(title=title, fontsize=7, title_fontsize=7)
    save(figure, path)
    return figure


Panel = tuple[Axes, str, Trace]


def _panels(sources: Mapping[str, Path]) -> tuple[Figure, list[list[Panel]]]:
    """A figure, and for every state the panels (axes, title, trace) of the sources that have it."""
    loaded = {title: load_traces(file) for title, file in sources.items()}
    states = list(dict.fromkeys(state for traces in loaded.values() for state in traces))
    if len(loaded) == 1:
        figure, axes = figure_of(1, len(states))
        axes = axes.T
    else:
        figure, axes = figure_of(len(states), len(loaded))

    def row(state: str, axes_of_row: np.ndarray) -> Iterator[Panel]:
        for panel, (title, traces) in zip(axes_of_row, loaded.items(), strict=True):
            if state in traces:
                yield panel, title, traces[state]
            else:
                panel.set_axis_off()

    return figure, [list(row(state, axes_of_row)) for state, axes_of_row in zip(states, axes, strict=True)]


def _range(traces: Sequence[Trace]) -> tuple[float, float]:
    """The limits of a logarithmic scale for all traces: at least a factor of 10, at most DECADES."""
    norms = np.concatenate([trace.norm_KT.ravel() for trace in traces])
    positive = norms[np.isfinite(norms) & (norms > 0)]
    highest = float(positive.max(initial=0.0)) or 1.0
    lowest = float(positive.min(initial=highest / 10))
    return max(lowest, highest / 10**DECADES), highest


def _edges(step_K: np.ndarray) -> np.ndarray:
    """The borders (K + 1,) of columns centred at the recorded iterations."""
    if len(step_K) == 1:
        return np.array([step_K[0] - 0.5, step_K[0] + 0.5])
    middle = (step_K[1:] + step_K[:-1]) / 2
    return np.concatenate([[max(2 * step_K[0] - middle[0], 0)], middle, [2 * step_K[-1] - middle[-1]]])
