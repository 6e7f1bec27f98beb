"""Diagrams of cells: what a step computes from what, its equations, and that every pair can be drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

from momentum_exp.cells.dataflow import dynamics_flow, recurrence_flow
from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.options import build, dynamics, dynamics_names, recurrence_names, recurrences
from momentum_exp.errors import UserError
from momentum_exp.paper.artifacts import figures
from momentum_exp.paper.figure.cell_diagram import draw_cell, stages
from momentum_exp.paper.figure.cells import Cell, diagram
from momentum_exp.paper.figure.equations import equations, heading

PAIRS = [
    (recurrence, name)
    for recurrence in recurrence_names()
    for name in dynamics_names()
    if name in (recurrences()[recurrence].dynamics or dynamics_names())
]


@dataclass(frozen=True)
class Leaky(Dynamics):
    """A dynamics that no folder has, and that states no equation."""

    name: ClassVar[str] = "leaky"
    states: ClassVar[tuple[str, ...]] = ("v", "w")
    mu: float = 0.5

    def step(self, g_BG: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        w_BG = state["w"].mul(self.mu).add_(g_BG)  # in place, too
        return w_BG - state["v"], {"v": g_BG, "w": w_BG}


def drawn(recurrence: str, name: str) -> tuple[list[str], int]:
    """All texts of a diagram, and how many arrows it has."""
    panel = Figure().add_subplot()
    draw_cell(panel, *build(recurrence, name, {}))
    return [text.get_text() for text in panel.texts], sum(isinstance(p, FancyArrowPatch) for p in panel.patches)


@pytest.mark.parametrize(
    ("part", "flow"),
    [
        ("identity", {"u": "g"}),
        ("momentum", {"v": "g mu s v_", "u": "v"}),
        ("nesterov", {"k": "k_", "v": "g k s v_", "u": "v"}),
        ("rmsprop", {"m": "beta g m_", "u": "g m s"}),
        ("adam", {"v": "g mu s v_", "m": "beta g m_", "u": "m v"}),
        ("rnn", {"pre": "b_hh h_ u w_hh", "h": "pre"}),
        ("lstm", {"pre": "b_hh h_ u w_hh", "c": "c_ pre", "h": "c pre"}),
        ("gru", {"h": "b_hh h_ u w_hh"}),
        ("dtriv", {"pre": "h_ u w_hh", "h": "bias_modrelu pre"}),
        ("urnn", {"pre": "h_ u w_hh", "h": "bias_modrelu pre"}),
        (
            "srlstm_released",
            {"y": "b_hh h_ s u w_hh", "k": "k_ restart", "pre": "k y y_", "c": "c_ pre", "h": "c pre"},
        ),
    ],
)
def test_flow_is_what_the_equations_say(part: str, flow: dict[str, str]) -> None:
    found = dynamics_flow(dynamics()[part]()) if part in dynamics_names() else recurrence_flow(recurrences()[part]())
    assert {name: " ".join(sorted(sources)) for name, sources in found.sources.items()} == flow


def test_a_restart_enters_where_there_is_one() -> None:
    assert dynamics_flow(build("rnn", "nesterov", {"restart": 3})[1]).sources["k"] == {"k_", "restart"}


@pytest.mark.parametrize(("recurrence", "name"), PAIRS)
def test_every_pair_has_a_diagram_with_its_states(recurrence: str, name: str) -> None:
    texts, arrows = drawn(recurrence, name)
    parts = build(recurrence, name, {})
    for part in parts:
        for state in part.states:
            symbol = state if len(state) == 1 else rf"\mathrm{{{state}}}"
            assert texts.count(f"${symbol}_t$") == texts.count(f"${symbol}_{{t-1}}$") == 1
        assert sum(text.startswith(part.name) for text in texts) == 1
    drive, cell = stages(*parts)
    inner = sum(
        len(sources & {stage.given, *stage.flow.sources, *(f"{state}_" for state in stage.states)})
        for stage in (drive, cell)
        for sources in stage.flow.sources.values()
    )
    assert arrows == 1 + inner + len(drive.states) + len(cell.states)  # x to g, and each state out of its box


@pytest.mark.parametrize("part", [*dynamics().values(), *recurrences().values()])
def test_stated_equations_name_what_the_step_computes_from(part: type) -> None:
    """The head of a docstring has an equation for u or h, and what stands right in it is what the step uses."""
    flow = (dynamics_flow if issubclass(part, Dynamics) else recurrence_flow)(part()).sources
    stated = equations(part)
    assert ("u" if issubclass(part, Dynamics) else "h") in stated or part.name == "srlstm_released"
    for name in stated.keys() & flow.keys() & {"u", "v", "m", "pre", "y"}:
        words = set(stated[name].replace("(", " ").replace(")", " ").replace("^", " ").split())
        for source in flow[name]:
            spelled = {"w_hh": {"U", "B", "W"}, "k": {"mu_k"}, "y": {"y_t"}, "y_": {"y_{t-1}"}}.get(
                source, {source.removesuffix("_")}
            )
            assert words & spelled or (source == "beta" and "beta" in stated[name]), (name, source)


def test_equations_and_heading() -> None:
    assert equations(dynamics()["adam"]) == {
        "v": "mu v + s g",
        "m": "beta m + (1-beta) g^2",
        "u": "v / sqrt(m + eps)",
    }
    assert equations(dynamics()["identity"]) == {"u": "g"}
    assert equations(Leaky) == {}
    assert heading(dynamics()["momentum"](mu=0.3)).replace("\N{NO-BREAK SPACE}", " ") == "momentum: μ = 0.3, s = 0.6"


def test_a_new_dynamics_has_a_diagram_without_an_equation() -> None:
    assert dynamics_flow(Leaky()).sources == {"v": {"g"}, "w": {"g", "mu", "w_"}, "u": {"v_", "w"}}
    panel = Figure().add_subplot()
    draw_cell(panel, build("lstm", "identity", {})[0], Leaky())
    texts = [text.get_text() for text in panel.texts]
    assert "w = f(g, μ, w before)" in texts
    assert "u = f(v before, w)" in texts


def test_figure1_is_drawn_without_a_run(tmp_path: Path) -> None:
    files = figures.render("figure1", "full", [0], tmp_path / "none", tmp_path)
    assert [file.name for file in files] == ["figure1.png", "figure1.svg", "figure1.md"]
    assert files[0].stat().st_size < 500_000
    assert "without any run" in files[2].read_text()


def test_cells_stand_side_by_side_at_their_size() -> None:
    figure = diagram([[Cell("a", "rnn", "identity"), Cell("b", "rnn", "adam")], [Cell("c", "lstm", "momentum")]])
    width, height = figure.get_size_inches()
    boxes = [axes.get_position() for axes in figure.axes]
    for axes, box in zip(figure.axes, boxes, strict=True):
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert (box.width * width, box.height * height) == pytest.approx((right - left, high - low))
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[2].y1 < boxes[0].y0


def test_a_pair_that_is_none_is_the_users_mistake() -> None:
    for cell in (Cell("a", "rnn", "adm"), Cell("a", "srlstm_released", "adam"), Cell("a", "rnn", "adam", {"mu": 2.0})):
        with pytest.raises(UserError, match=r"adm is unknown|does not go with|mu=2"):
            diagram([[cell]])
