"""The report: `report`, one HTML page of all that the output folder holds."""

from collections.abc import Sequence
from pathlib import Path

from momentum_exp.errors import UserError
from momentum_exp.files import write_text_whole
from momentum_exp.paper.gather import check_runs
from momentum_exp.paper.report.checklist import checklist
from momentum_exp.paper.report.page import CHECKLIST, CLAIMS, mentioned, page
from momentum_exp.paper.report.runs import all_runs
from momentum_exp.paper.study import Planned, written_seeds


def names() -> list[str]:
    """There is one."""
    return ["report"]


def needs(name: str, scale: str, seeds: Sequence[int]) -> list[Planned]:
    """None: it shows what there is."""
    return []


def render(name: str, scale: str, seeds: Sequence[int], runs: Path, out: Path) -> list[Path]:
    """Fill the checklist, and write `report.html` of it and the claims, tables and figures in `out`, as they are there.

    Raises UserError where the claims were not judged yet, or there is no folder `runs`.
    """
    if not (out / f"{CLAIMS}.md").exists():
        raise UserError(
            f"{out / CLAIMS}.md is missing, and a report begins with the verdicts. Write first python -m "
            f"momentum_exp.paper claims --scale {scale} --seeds {written_seeds(seeds)} --runs {runs}"
        )
    check_runs(runs, needed=True)
    there = all_runs(runs)
    used = [there[each] for each in mentioned(out, there)]
    filled, html = out / f"{CHECKLIST}.md", out / "report.html"
    write_text_whole(filled, checklist(used, list(there.values()), scale))
    write_text_whole(html, page(out, scale, there))
    return [filled, html]
