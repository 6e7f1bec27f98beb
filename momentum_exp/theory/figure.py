"""The exact gradients and the paper's product as curves on a logarithmic axis."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from momentum_exp.summary.style import figure_of, save, styled
from momentum_exp.theory.curves import Curves

LIMITS = {"h": (-20, 18), "v": (-20, 4)}  # decades; what falls below leaves the picture
TICKS = 6  # decades between two ticks


@styled
def vanishing_figure(panels: Mapping[str, Sequence[Curves]], path: Path) -> Figure:
    """Draw a column for each entry of `panels`, a title and the curves of several mu, for t = T .. 1.

    Above dL/dh_t, exact and by the paper's product; below dL/dv_t. A decade is as high in both.
    """
    figure, axes = figure_of(len(LIMITS), len(panels), height=2.4)
    axes[0, 0].get_gridspec().set_height_ratios([high - low for low, high in LIMITS.values()])
    values = sorted({curves.subject.mu for group in panels.values() for curves in group})
    shades = dict(zip(values, colormaps["viridis"](np.linspace(0, 0.85, len(values))), strict=True))

    for (title, group), (above, below) in zip(panels.items(), axes.T, strict=True):
        above.set_title(title)
        for curves in group:
            shade, norms = shades[curves.subject.mu], curves.norms
            back_T = np.arange(len(norms.total))[::-1]
            above.plot(back_T[1:], norms.total[1:], color=shade)
            if curves.subject.mu:
                above.plot(back_T[1:], norms.paper[1:], color=shade, linestyle="--")
            below.plot(back_T[1:], norms.velocity[1:], color=shade)
        above.tick_params(labelbottom=False)
        below.set_xlabel("steps back from the loss, $T - t$")
    for row, (state, (low, high)) in zip(axes, LIMITS.items(), strict=True):
        row[0].set_ylabel(rf"$\|\partial L/\partial {state}_t\|_2\;/\;\|\partial L/\partial h_T\|_2$")
        for panel in row:
            panel.set(yscale="log", ylim=(10.0**low, 10.0**high), xlim=(0, None))
            panel.set_yticks(10.0 ** np.arange(low - low % TICKS + TICKS, high + 1, TICKS))
            panel.minorticks_off()

    lines = [Line2D([], [], color=shades[mu], label=rf"$\mu = {mu:g}$") for mu in values]
    lines.append(Line2D([], [], color="black", label="exact (autograd)"))
    lines.append(Line2D([], [], color="black", linestyle="--", label="the paper's product"))
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines))
    save(figure, path)
    return figure
