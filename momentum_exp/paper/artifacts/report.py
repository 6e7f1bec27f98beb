"""The report: `report`, one HTML page of all that the output folder holds."""

from collections.abc import Sequence
from pathlib import Path

from momentum_exp.files import write_text_whole
from momentum_exp.paper.artifacts import claims
from momentum_exp.paper.report.checklist import checklist
from momentum_exp.paper.report.page import CHECKLIST, mentioned, page
from momentum_exp.paper.report.runs import all_runs
from momentum_exp.paper.study import Planned


def names() -> list[str]:
    """There is one."""
    return ["report"]


def needs(name: str, scale: str, seeds: Sequence[int]) -> list[Planned]:
    """None: it shows what there is."""
    return []


def render(name: str, scale: str, seeds: Sequence[int], runs: Path, out: Path) -> list[Path]:
    """Judge the claims, fill the checklist, and write `report.html` of both and the tables and figures in `out`."""
    files = claims.render("claims", scale, seeds, runs, out)
    there = all_runs(runs)
    used = [there[each] for each in mentioned(out, there)]
    filled, html = out / f"{CHECKLIST}.md", out / "report.html"
    write_text_whole(filled, checklist(used, list(there.values()), scale))
    write_text_whole(html, page(out, scale, seeds, there))
    return [*files, filled, html]
