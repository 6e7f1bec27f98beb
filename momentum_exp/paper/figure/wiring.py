"""Boxes, circles and right-angled wires between them, in inches."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

RADIUS = 0.2
LONG = 12  # characters of a circle's text, in TeX, that take smaller type
INK, PALE = "#222222", "#777777"


@dataclass(frozen=True)
class Place:
    """A box or circle: its centre and half of its width and height."""

    x: float
    y: float
    half_width: float = RADIUS
    half_height: float = RADIUS


def draw_circle(panel: Axes, at: Place, text: str) -> None:
    panel.add_patch(Circle((at.x, at.y), RADIUS, facecolor="white", edgecolor=INK, linewidth=0.9, zorder=3))
    size = 7 if len(text) < LONG else 5
    panel.text(at.x, at.y, text, ha="center", va="center", fontsize=size, zorder=4)


def draw_box(panel: Axes, at: Place, text: str, shade: str) -> None:
    """A box whose text fits, if `at` was made by `box_place`."""
    corner = (at.x - at.half_width + 0.04, at.y - at.half_height + 0.04)
    size = (2 * at.half_width - 0.08, 2 * at.half_height - 0.08)
    style = "round,pad=0.04,rounding_size=0.06"
    box = FancyBboxPatch(corner, *size, boxstyle=style, edgecolor=shade, facecolor="white", linewidth=1.2, zorder=3)
    panel.add_patch(box)
    panel.text(at.x, at.y, text, ha="center", va="center", fontsize=7, zorder=4)


def draw_frame(panel: Axes, left: float, right: float, low: float, high: float, shade: str, text: str) -> None:
    """A tinted ground for what belongs together, with its name in the upper left corner."""
    ground = FancyBboxPatch(
        (left, low), right - left, high - low, boxstyle="round,pad=0,rounding_size=0.1", facecolor=shade, alpha=0.13
    )
    panel.add_patch(ground)
    panel.text(left + 0.1, high - 0.08, text, ha="left", va="top", fontsize=7.5, fontweight="bold", color=INK, zorder=4)


def draw_wire(panel: Axes, points: list[tuple[float, float]]) -> None:
    """A line through the points, with an arrow head at the last."""
    path = Path(points, [Path.MOVETO, *[Path.LINETO] * (len(points) - 1)])
    panel.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=7, color=INK, linewidth=0.9, zorder=2))


def box_place(x: float, y: float, text: str) -> Place:
    """A place that is large enough for a text of 7 points."""
    lines = text.split("\n")
    return Place(x, y, 0.14 + 0.029 * max(map(len, lines)), 0.1 + 0.065 * len(lines))
