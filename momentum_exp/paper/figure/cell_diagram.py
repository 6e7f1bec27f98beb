"""A cell as a diagram, made of the dynamics and the recurrence themselves: nothing in it is drawn by hand.

Arrows are the flow of a step (cells/dataflow.py), equations the head of a class's docstring. From below: the input, the
drive's states and the drive, the recurrence's states. Each state stands twice in its row, before the step and after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import fill

import torch
from matplotlib.axes import Axes

from momentum_exp.cells.dataflow import Flow, dynamics_flow, recurrence_flow
from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.paper.figure.equations import equations, heading, with_symbols
from momentum_exp.paper.figure.wiring import (
    PALE,
    RADIUS,
    Place,
    box_place,
    draw_box,
    draw_circle,
    draw_frame,
    draw_wire,
)

CHARACTERS = 30  # a line in a box
CHARACTER = 0.068  # inches, of a heading
LANE, GAP, MARGIN = 0.13, 0.34, 0.3  # inches: between parallel wires, above and below a row, around


@dataclass
class Stage:
    """What is computed of `given` (g or u): rows of values from below, and where they are drawn."""

    given: str
    flow: Flow
    texts: Mapping[str, str]
    states: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The value that is no state stands alone, above the states it follows from and below those that follow."""
        order = list(self.flow.sources)
        hinge = next((name for name in order if name not in self.states), None)
        if hinge is None:
            self.rows = [order]
        else:
            place = order.index(hinge)
            self.rows = [row for row in (order[:place], [hinge], order[place + 1 :]) if row]

    def lanes(self, row: int) -> list[tuple[str, str]]:
        """The wires (source, value) that run above a row, from one of its states into another's box."""
        names = self.rows[row]
        return [
            (source, name)
            for name in names
            for source in sorted(self.flow.sources[name])
            if source.rstrip("_") in names and source != f"{name}_"
        ]


def stages(recurrence: Recurrence, dynamics: Dynamics) -> tuple[Stage, Stage]:
    """The dynamics' and the recurrence's."""
    parts = (("g", dynamics, dynamics_flow(dynamics)), ("u", recurrence, recurrence_flow(recurrence)))
    first, second = (Stage(given, flow, _texts(part, flow), part.states) for given, part, flow in parts)
    return first, second


def draw_cell(panel: Axes, recurrence: Recurrence, dynamics: Dynamics) -> None:
    """Draw the cell on `panel`, which is as many inches wide and high as its limits say afterwards."""
    drive, cell = stages(recurrence, dynamics)
    width = max(_row_width(stage, row) for stage in (drive, cell) for row in stage.rows) + 2 * MARGIN
    below = Place(0, 0)
    g = box_place(0, 0.62, "g = W x + b_ih" if recurrence.biased else "g = W x")
    draw_circle(panel, below, "$x_t$")
    draw_box(panel, g, "g = W x + b_ih" if recurrence.biased else "g = W x", PALE)
    draw_wire(panel, [(0, below.y + RADIUS), (0, g.y - g.half_height)])
    room = int(width / CHARACTER)
    above_drive = _heading(dynamics, drive, room // 2 - 4)  # the wire to the recurrence stands in the middle
    boxes, top = _draw_stage(panel, drive, g, g.y + g.half_height + 0.15, width, "#0072B2", above_drive)
    above_cell = "\n".join([_heading(recurrence, cell, room - 4), *_gates(recurrence)])
    _, top = _draw_stage(panel, cell, boxes["u"], top + 0.12, width, "#D55E00", above_cell)
    panel.set(xlim=(-width / 2, width / 2), ylim=(-RADIUS - 0.05, top + 0.05), aspect="equal")
    panel.set_axis_off()


def _texts(part: Dynamics | Recurrence, flow: Flow) -> dict[str, str]:
    """What stands in the box of each value: its equation, or what it is a function of where none is stated."""
    stated = equations(type(part))
    return {
        name: fill(with_symbols(f"{name} = {stated.get(name) or f'f({_listed(flow.sources[name])})'}"), CHARACTERS)
        for name in flow.sources
    }


def _listed(sources: frozenset[str]) -> str:
    return ", ".join(f"{name[:-1]} before" if name.endswith("_") else name for name in sorted(sources))


def _heading(part: Dynamics | Recurrence, stage: Stage, characters: int) -> str:
    """Name and options, and the equations that no box has, in lines of so many characters."""
    more = {left: right for left, right in equations(type(part)).items() if left not in stage.flow.sources}
    lines = [heading(part), *(with_symbols(f"{left} = {right}") for left, right in more.items())]
    return "\n".join(fill(line, characters) for line in lines)


def _gates(recurrence: Recurrence) -> list[str]:
    names = recurrence.gates(torch.zeros(1, recurrence.gate_blocks))
    return [f"gates {', '.join(names)}"] if names else []


def _block_width(stage: Stage, name: str) -> float:
    box = 2 * box_place(0, 0, stage.texts[name]).half_width
    return box + (4 * RADIUS + 0.4 if name in stage.states else 0)


def _row_width(stage: Stage, row: Sequence[str]) -> float:
    return sum(_block_width(stage, name) for name in row) + 0.25 * (len(row) - 1)


def _draw_stage(
    panel: Axes, stage: Stage, given: Place, low: float, width: float, shade: str, text: str
) -> tuple[dict[str, Place], float]:
    """Draw a frame with a stage above `low`; where its boxes are, and where its frame ends."""
    boxes: dict[str, Place] = {}
    places = {stage.given: given}
    y = low
    for place, row in enumerate(stage.rows):
        height = max(max(box_place(0, 0, stage.texts[name]).half_height for name in row), RADIUS)
        y += GAP + height
        x = -_row_width(stage, row) / 2
        for name in row:
            block = _block_width(stage, name)
            boxes[name] = box_place(x + block / 2, y, stage.texts[name])
            if name in stage.states:
                places[f"{name}_"] = Place(x + RADIUS, y)
                places[name] = Place(x + block - RADIUS, y)
            else:
                places[name] = boxes[name]
            x += block + 0.25
        y += height + LANE * len(stage.lanes(place))
    high = y + 0.2 + 0.125 * (text.count("\n") + 1)
    draw_frame(panel, -width / 2 + 0.05, width / 2 - 0.05, low, high, shade, text)
    for name, box in boxes.items():
        draw_box(panel, box, stage.texts[name], shade)
    for name in stage.states:
        draw_circle(panel, places[f"{name}_"], f"${_symbol(name)}_{{t-1}}$")
        draw_circle(panel, places[name], f"${_symbol(name)}_t$")
        draw_wire(
            panel, [(boxes[name].x + boxes[name].half_width, boxes[name].y), (places[name].x - RADIUS, boxes[name].y)]
        )
    _draw_wires(panel, stage, boxes, places, width)
    return boxes, high


def _symbol(name: str) -> str:
    return name if len(name) == 1 else rf"\mathrm{{{name}}}"


def _draw_wires(panel: Axes, stage: Stage, boxes: dict[str, Place], places: dict[str, Place], width: float) -> None:
    row_of = {name: row for row, names in enumerate(stage.rows) for name in names}
    for name, box in boxes.items():
        lanes = stage.lanes(row_of[name])
        for source in sorted(stage.flow.sources[name] & places.keys()):
            start = places[source]
            if (source, name) in lanes:
                points = _over(start, box, lanes.index((source, name)), len(lanes))
            elif source == f"{name}_":
                points = [(start.x + RADIUS, start.y), (box.x - box.half_width, box.y)]
            else:
                rows_up = row_of[name] - row_of.get(source.removesuffix("_"), -1)
                points = _between_rows(start, box, rows_up, width)
            draw_wire(panel, points)


def _over(start: Place, box: Place, lane: int, lanes: int) -> list[tuple[float, float]]:
    """From a state over its row into the top of a box in the same row."""
    top = box.y + box.half_height
    high = max(top, start.y + RADIUS) + LANE * (1 + lane)
    x = box.x + (lane - (lanes - 1) / 2) * LANE / 2
    return [(start.x, start.y + RADIUS), (start.x, high), (x, high), (x, top)]


def _between_rows(start: Place, box: Place, rows_up: int, width: float) -> list[tuple[float, float]]:
    """From a box or state into a box `rows_up` rows above (or below, where negative)."""
    up = 1 if rows_up > 0 else -1
    foot, face = start.y + up * start.half_height, box.y - up * box.half_height
    if abs(rows_up) > 1:  # past the rows between, at the edge
        edge, turn = up * (0.17 - width / 2), foot + up * 0.08
        if up > 0:
            return [(start.x, foot), (start.x, turn), (edge, turn), (edge, box.y), (box.x - box.half_width, box.y)]
        over = face + LANE
        return [(start.x, foot), (start.x, turn), (edge, turn), (edge, over), (box.x, over), (box.x, face)]
    if abs(start.x - box.x) < box.half_width - 0.05:
        return [(start.x, foot), (start.x, face)]
    if start.half_width > RADIUS:  # a box: across, half-way
        half = (foot + face) / 2
        return [(start.x, foot), (start.x, half), (box.x, half), (box.x, face)]
    side = 1 if start.x > box.x else -1
    if abs(start.x - box.x) < box.half_width + 0.12:  # no room to enter the box from the side
        x, turn = box.x + side * (box.half_width - 0.12), face - up * 0.1
        return [(start.x, foot), (start.x, turn), (x, turn), (x, face)]
    return [(start.x, foot), (start.x, box.y), (box.x + side * box.half_width, box.y)]
