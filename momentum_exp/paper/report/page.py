"""The HTML page: verdicts, then tables, figures and the checklist, then the runs."""

import re
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from momentum_exp.paper.figure.specification import figure_names
from momentum_exp.paper.report.markdown import Page
from momentum_exp.paper.report.runs import entries
from momentum_exp.paper.table import table_names
from momentum_exp.tracking.run_record import RunRecord

CLAIMS, CHECKLIST = "claims", "reproducibility-checklist"
HASH = re.compile(r"\b[0-9a-f]{10}\b")


def ordered(folder: Path) -> list[Path]:
    """The Markdown files that the project made in a folder, in this order: claims, tables, figures, checklist."""
    names = [CLAIMS, *table_names(), *figure_names(), CHECKLIST]
    return [path for name in names if (path := folder / f"{name}.md").exists()]


def mentioned(folder: Path, known: Collection[str]) -> list[str]:
    """The runs, of those known by their hashes, that any text of what the project made in a folder names."""
    files = [path.with_suffix(form) for path in ordered(folder) for form in (".md", ".csv", ".json")]
    texts = [path.read_text() for path in files if path.exists()]
    return sorted({name for text in texts for name in HASH.findall(text)} & set(known))


def page(folder: Path, scale: str, runs: Mapping[str, RunRecord]) -> str:
    """The page of what the project made in `folder`. runs: those that may be mentioned, by hash."""
    shown = mentioned(folder, runs)
    pages = [Page(path, shown) for path in ordered(folder)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text())
    return template.render(
        scale=scale,
        sections=[(each.path.stem, *folded(each.html(), each.path.stem == CLAIMS)) for each in pages],
        runs=entries(runs[name] for name in shown),
    )


def folded(html: Markup, fold: bool) -> tuple[Markup, Markup]:
    """The part before the first section, and the rest, which is empty where nothing is to be folded."""
    head, section, rest = html.partition("<h3")
    return (Markup(head), Markup(section + rest)) if fold else (html, Markup())
