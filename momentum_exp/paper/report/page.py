"""The HTML page: verdicts, then tables, figures and the rest of the folder, then the runs."""

import re
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from momentum_exp.paper.report.markdown import Page
from momentum_exp.paper.report.runs import entries
from momentum_exp.paper.run_record import RunRecord

CLAIMS, CHECKLIST = "claims", "reproducibility-checklist"
HASH = re.compile(r"\b[0-9a-f]{10}\b")


def ordered(folder: Path) -> list[Path]:
    """The Markdown files of a folder in the order of the page: claims, tables, figures, checklist."""
    places = {CLAIMS: 0, CHECKLIST: 3}

    def place(path: Path) -> tuple[int, str]:
        return places.get(path.stem, 2 if path.stem.startswith("figure") else 1), path.stem

    return sorted(folder.glob("*.md"), key=place)


def mentioned(folder: Path, known: Collection[str]) -> list[str]:
    """The runs, of those known by their hashes, that any text of a folder names."""
    texts = [path.read_text() for form in ("md", "csv", "json") for path in folder.glob(f"*.{form}")]
    return sorted({name for text in texts for name in HASH.findall(text)} & set(known))


def page(folder: Path, scale: str, seeds: Sequence[int], runs: Mapping[str, RunRecord]) -> str:
    """The page of all Markdown files in `folder`. runs: those that may be mentioned, by hash."""
    shown = mentioned(folder, runs)
    pages = [Page(path, shown) for path in ordered(folder)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text())
    return template.render(
        scale=scale,
        seeds=seeds,
        sections=[(each.path.stem, *folded(each.html(), each.path.stem == CLAIMS)) for each in pages],
        runs=entries(runs[name] for name in shown),
    )


def folded(html: Markup, fold: bool) -> tuple[Markup, Markup]:
    """The part before the first section, and the rest, which is empty where nothing is to be folded."""
    head, section, rest = html.partition("<h3")
    return (Markup(head), Markup(section + rest)) if fold else (html, Markup())
