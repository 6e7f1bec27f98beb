"""Gradient norms through time, a panel an arm, on the paper's linear scale and on a logarithmic one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from momentum_exp.errors import UserError
from momentum_exp.paper.figure.base import Drawing, Found, PaperFigure, absent, find, require_some
from momentum_exp.paper.study import Planned, load_study, plan
from momentum_exp.summary.gradients import Trace, colour_scale, comparable, draw_norms, geometric_mean, trace_of
from momentum_exp.summary.style import figure_of, styled


@dataclass
class HeatMaps(PaperFigure):
    """The norms of one state, recorded as `state`, of the arms of a study, in rows.

    vmax: where the paper's linear scale ends.
    """

    study: str = ""
    state: str = "h_l0"
    vmax: float = 0.05
    rows: list[list[str]] = field(default_factory=list)

    def needs(self, scale: str, seeds: Sequence[int]) -> list[Planned]:
        return plan(load_study(self.study), scale, seeds, [arm for row in self.rows for arm in row])

    @styled
    def draw(self, name: str, scale: str, seeds: Sequence[int], runs: Path) -> Drawing:
        found = find(load_study(self.study), self.needs(scale, seeds), scale, runs)
        if not found.planned:
            return absent(scale)
        require_some(name, scale, [found], runs)
        recorded = {
            (arm, run.seed): trace_of(run.diagnostics, self.state)
            for arm, there in found.runs.items()
            for run in there
            if run.diagnostics.exists()
        }
        by_arm: dict[str, list[Trace]] = {}
        for (arm, _), trace in comparable(recorded).items():
            by_arm.setdefault(arm, []).append(trace)
        traces = {arm: geometric_mean(of_seeds) for arm, of_seeds in by_arm.items()}
        gaps = [arm for arm, there in found.runs.items() if there and arm not in traces]
        if not traces:
            raise UserError(
                f"{name} at scale {scale} has nothing to draw: no finished run recorded gradients through time. "
                f"Write {_again(found, gaps[0])} paths.runs={runs}"
            )
        seeds_of = ", ".join(f"{found.study.arms[arm].label} ({len(of_seeds)})" for arm, of_seeds in by_arm.items())
        count = len(next(iter(traces.values())).step_K)
        return Drawing(
            {"": self._picture(found, traces, self.vmax), "_log": self._picture(found, traces, None)},
            [found],
            [
                f"Means over seeds of the norm's logarithm. Seeds: {seeds_of}.",
                f"Iterations: the {count} at which all of these runs recorded gradients.",
                *(
                    f"Not drawn: {found.study.arms[arm].label}, whose runs recorded no gradients through time, or too "
                    f"seldom. `{_again(found, arm)}` runs it again."
                    for arm in gaps
                ),
                f"The linear scale ends at {self.vmax:g}, as in the paper; larger norms have its last colour.",
                "Norms are of the derivative of one sample's loss, averaged over the batch.",
            ],
        )

    def _picture(self, found: Found, traces: Mapping[str, Trace], vmax: float | None) -> Figure:
        """All panels, in one scale."""
        norm = colour_scale(list(traces.values()), vmax)
        figure, axes = figure_of(len(self.rows), max(map(len, self.rows)), width=2.1, height=2.1)
        for panel in axes[-1]:
            panel.set_xlabel("training iteration")
        for arms, panels in zip(self.rows, axes, strict=True):
            panels[0].set_ylabel("time step $t$")
            for arm, panel in zip(arms, panels, strict=False):
                panel.set_title(found.study.arms[arm].label.replace(", ", "\n"), fontsize=9)
                panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
                if arm in traces:
                    image = draw_norms(panel, traces[arm], norm)
                else:
                    why = "no gradients" if found.runs[arm] else "no run yet"
                    panel.text(0.5, 0.5, why, ha="center", transform=panel.transAxes, color="#888888")
                    panel.set(xticks=[], yticks=[])
            for panel in panels[len(arms) :]:
                panel.set_axis_off()
        bar = figure.colorbar(image, ax=axes, extend="min" if vmax is None else "max", fraction=0.03, pad=0.01)
        bar.set_label(f"{next(iter(traces.values())).symbol}, mean over the batch")
        figure.suptitle(found.heading, fontsize=10, fontweight="bold", x=0.01, ha="left")
        return figure


def _again(found: Found, arm: str) -> str:
    """The command that records the gradients of an arm's first run."""
    return f"{next(run for run in found.planned if run.arm == arm).command} force=true"
