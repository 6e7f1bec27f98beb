"""The caption of a figure, as Markdown beside it: scale, seeds, what is drawn how, and from which runs."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from momentum_exp.paper.figure.base import Drawing, Found, PaperFigure
from momentum_exp.paper.progress import RETRIED
from momentum_exp.summary.provenance import provenance

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
    lines = [f"**{found.heading}.** Seeds {', '.join(map(str, seeds))}.", "", "| arm | n | runs |", "|---|---|---|"]
    for arm, runs in found.runs.items():
        names = ", ".join(f"`{run.path.name}`" for run in runs) or "--"
        lines.append(f"| {found.study.arms[arm].label} | {len(runs)} | {names} |")
    if where := provenance([run for runs in found.runs.values() for run in runs]):
        lines += ["", ". ".join(where) + "."]
    if found.unfinished:
        states = Counter(run.state for run in found.unfinished)
        counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
        lines += ["", f"Not in it: {counts} of {len(found.planned)} runs, for example", ""]
        lines += [
            f"    {run.run.command}{' retry=true' if run.state in RETRIED else ''}" for run in found.unfinished[:SHOWN]
        ]
    return [*lines, ""]
