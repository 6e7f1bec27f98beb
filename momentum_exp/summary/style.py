"""How every figure looks: for print, legible, safe for colour-blind readers, with the paper's colours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.figure import Figure

from momentum_exp.files import write_whole
from momentum_exp.summary.groups import Group

# The paper's red, blue, green, orange and cyan, in the shades of Okabe and Ito, which colour-blind readers
# can tell apart.
COLOURS = {
    "identity": "#D55E00",
    "momentum": "#0072B2",
    "adam": "#009E73",
    "rmsprop": "#E69F00",
    "sr": "#56B4E9",
    "nesterov": "#CC79A7",
}
LineStyle = Literal["-", "--", ":", "-."]
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", ":", "-.")

styled = rc_context(
    {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "legend.frameon": False,
        "savefig.dpi": 200,
        "svg.hashsalt": "momentum_exp",
    }
)


def figure_of(rows: int, columns: int, width: float = 3.1, height: float = 2.6) -> tuple[Figure, Any]:
    """A figure and its (rows, columns) array of axes; `width` and `height` are inches a panel."""
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


@styled
def save(figure: Figure, path: Path) -> None:
    """Write the figure in the format that the name of the file ends with; its folder is made where it is missing.

    The same figure gives the same bytes: no date is written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    form = path.suffix.removeprefix(".")
    metadata = {"Date": None} if form == "svg" else None
    write_whole(path, lambda file: figure.savefig(file, format=form, metadata=metadata))


def colour(cell: str, dynamics: str) -> str:
    """The colour of a cell by its dynamics; the release's SR cell counts as `sr`."""
    return COLOURS.get("sr" if cell.startswith("sr") else dynamics, "#444444")


def group_colour(group: Group) -> str:
    """The colour of a group's cell."""
    return colour(group.cell, group.runs[0].config["cell"]["dynamics"])


def line_styles(colours: Sequence[str]) -> list[LineStyle]:
    """A line style for each of these colours, so that those of one colour differ."""
    return [LINE_STYLES[colours[:place].count(shade) % len(LINE_STYLES)] for place, shade in enumerate(colours)]
