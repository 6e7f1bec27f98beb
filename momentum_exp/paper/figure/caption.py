"""The caption of a figure, as Markdown beside it: scale, seeds, what is drawn how, and from which runs."""

from collections.abc import Sequence
from pathlib import Path

from momentum_exp.paper.figure.base import Drawing, Found, PaperFigure

SHOWN = 3  # commands of missing runs that are written out


def caption(name: str, figure: PaperFigure, drawing: Drawing, seeds: Sequence[int], pictures: Sequence[Path]) -> str:
    """What must be known to read the figure. Missing runs come with the commands that make them."""
    lines = [f"# {name}: {figure.title}", ""]
    lines += [f"![{figure.title}]({path.name})" for path in pictures]
    lines += ["", *dict.fromkeys([*drawing.says, *figure.notes]), ""]
    for found in drawing.found:
        lines += _runs(found, seeds)
    return "\n".join(lines).rstrip() + "\n"


def _runs(found: Found, seeds: Sequence[int]) -> list[str]:
    finished = {run.path.name for runs in found.runs.values() for run in runs}
    missing = [run for run in found.planned if run.identity.folder not in finished]
    lines = [f"**{found.heading}.** Seeds {', '.join(map(str, seeds))}.", "", "| arm | n | runs |", "|---|---|---|"]
    for arm, runs in found.runs.items():
        names = ", ".join(f"`{run.path.name}`" for run in runs) or "--"
        lines.append(f"| {found.study.arms[arm].label} | {len(runs)} | {names} |")
    if missing:
        lines += ["", f"Missing: {len(missing)} of {len(found.planned)} runs, for example", ""]
        lines += [f"    {run.command}" for run in missing[:SHOWN]]
    return [*lines, ""]
