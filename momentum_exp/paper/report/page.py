"""The HTML page: verdicts, then tables, figures and the rest of the folder, then the runs."""

from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from momentum_exp.paper.report.markdown import Page
from momentum_exp.paper.report.runs import entries
from momentum_exp.paper.run_record import RunRecord

CLAIMS, CHECKLIST = "claims", "reproducibility-checklist"


def ordered(folder: Path) -> list[Path]:
    """The Markdown files of a folder in the order of the page: claims, tables, figures, checklist."""
    places = {CLAIMS: 0, CHECKLIST: 3}

    def place(path: Path) -> tuple[int, str]:
        return places.get(path.stem, 2 if path.stem.startswith("figure") else 1), path.stem

    return sorted(folder.glob("*.md"), key=place)


def mentioned(folder: Path, known: Collection[str]) -> set[str]:
    """The runs, of those known by their hashes, that the Markdown files of a folder name."""
    pages = [Page(path, known) for path in ordered(folder)]
    return {name for each in pages if each.html() for name in each.mentioned}


def page(folder: Path, scale: str, seeds: Sequence[int], runs: Mapping[str, RunRecord]) -> str:
    """The page of all Markdown files in `folder`. runs: those that may be mentioned, by hash."""
    pages = [Page(path, runs) for path in ordered(folder)]
    sections = [(each.path.stem, *folded(each.html(), each.path.stem == CLAIMS)) for each in pages]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text())
    return template.render(
        scale=scale,
        seeds=seeds,
        sections=sections,
        runs=entries(runs[name] for name in {name for each in pages for name in each.mentioned}),
    )


def folded(html: Markup, fold: bool) -> tuple[Markup, Markup]:
    """The part before the first section, and the rest, which is empty where nothing is to be folded."""
    head, section, rest = html.partition("<h3")
    return (Markup(head), Markup(section + rest)) if fold else (html, Markup())
