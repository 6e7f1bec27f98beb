"""How every figure looks: for print, legible, safe for colour-blind readers, with the paper's colours."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from momentum_exp.files import write_whole
from momentum_exp.paper.groups import Group

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
LINE_STYLES = ("-", "--", ":", "-.")

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
    }
)


def figure_of(rows: int, columns: int, width: float = 3.1, height: float = 2.6) -> tuple[Figure, Any]:
    """A figure and its (rows, columns) array of axes; `width` and `height` are inches a panel."""
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: figure.savefig(file, format="png"))


def colour(group: Group) -> str:
    """The colour of a group's dynamics; the release's SR cell counts as `sr`."""
    dynamics = group.runs[0].config["cell"]["dynamics"]
    if group.cell.startswith("sr"):
        dynamics = "sr"
    return COLOURS.get(dynamics, "#444444")


def line_styles(groups: list[Group]) -> list[str]:
    """A line style for each group, so that groups of one colour differ."""
    seen: dict[str, int] = {}
    styles = []
    for group in groups:
        count = seen[colour(group)] = seen.get(colour(group), -1) + 1
        styles.append(LINE_STYLES[count % len(LINE_STYLES)])
    return styles
