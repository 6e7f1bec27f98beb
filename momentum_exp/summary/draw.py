"""All figures of one or several runs."""

from collections.abc import Sequence
from pathlib import Path

from momentum_exp.summary.convergence import convergence
from momentum_exp.summary.gradients import gradient_heat_map, gradient_lines
from momentum_exp.summary.groups import group_runs
from momentum_exp.tracking.run_record import RunRecord


def draw(runs: Sequence[RunRecord], out: Path, vmax: float | None = None) -> list[Path]:
    """Write `convergence.png` and, where gradients were recorded, their heat map and lines into `out`.

    The runs are on one data set. Gradients come from one run for each cell, the first seed of its first
    configuration; `vmax` is the heat map's. Returns the files written. Raises UserError where an array file is
    damaged, OSError where `out` can't be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    convergence(runs, out / "convergence.png")
    first: dict[tuple[str, str], tuple[str, Path]] = {}
    for group in group_runs(runs):
        for run in group.runs:
            if run.diagnostics.exists():
                first.setdefault((group.cell, group.data), (group.settings, run.diagnostics))
    sources = {
        "\n".join(filter(None, [f"{cell}, {data}", settings])): path for (cell, data), (settings, path) in first.items()
    }
    if not sources:
        return [out / "convergence.png"]
    gradient_heat_map(sources, out / "gradient_heat_map.png", vmax)
    gradient_lines(sources, out / "gradient_lines.png")
    return [out / f"{name}.png" for name in ("convergence", "gradient_heat_map", "gradient_lines")]
