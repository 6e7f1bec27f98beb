"""Diagrams of cells side by side, made of their dynamics and recurrences; no run is needed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from momentum_exp.cells.options import build
from momentum_exp.errors import UserError
from momentum_exp.paper.figure.base import Drawing, PaperFigure
from momentum_exp.paper.figure.cell_diagram import draw_cell
from momentum_exp.paper.study import Planned
from momentum_exp.summary.style import styled

TITLE, SPACE = 0.3, 0.15  # inches


@dataclass
class Cell:
    """A pair of a recurrence and a dynamics by name, with options that are not the default."""

    label: str
    recurrence: str
    dynamics: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Cells(PaperFigure):
    """Cells in rows of `columns`."""

    cells: list[Cell] = field(default_factory=list)
    columns: int = 3

    def needs(self, scale: str, seeds: Sequence[int]) -> list[Planned]:
        return []

    def draw(self, name: str, scale: str, seeds: Sequence[int], runs: Path) -> Drawing:
        says = ["Drawn from the cells' code, without any run: arrows are what a step computes from what."]
        return Drawing(
            {
                "": diagram(
                    [self.cells[first : first + self.columns] for first in range(0, len(self.cells), self.columns)]
                )
            },
            says=says,
        )


@styled
def diagram(rows: Sequence[Sequence[Cell]]) -> Figure:
    """Draw the cells at their size, each below its label.

    Raises UserError for a pair or an option that does not exist.
    """
    figure = Figure()
    extents = [[_draw(figure, cell) for cell in row] for row in rows]
    heights = [max(height for _, _, height in row) + TITLE + SPACE for row in extents]
    width = max(sum(width + SPACE for _, width, _ in row) for row in extents)
    figure.set_size_inches(width, sum(heights))
    top = sum(heights)
    for row, height in zip(extents, heights, strict=True):
        left = (width - sum(wide + SPACE for _, wide, _ in row)) / 2
        for panel, wide, high in row:
            low = top - height + SPACE / 2
            panel.set_position((left / width, low / sum(heights), wide / width, high / sum(heights)))
            left += wide + SPACE
        top -= height
    return figure


def _draw(figure: Figure, cell: Cell) -> tuple[Any, float, float]:
    """A panel with the cell, and its width and height in inches."""
    try:
        parts = build(cell.recurrence, cell.dynamics, cell.options)
    except ValueError as error:
        raise UserError(str(error)) from error
    panel = figure.add_axes((0, 0, 1, 1))
    draw_cell(panel, *parts)
    panel.set_title(cell.label, fontweight="bold")
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    return panel, right - left, high - low
