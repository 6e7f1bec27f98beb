"""Tables: `table1` to `table5`, `ablation`, `time`, .. of conf/table."""

from collections.abc import Sequence
from pathlib import Path

from momentum_exp.files import write_text_whole
from momentum_exp.paper.study import Planned, load_study, plan, written_seeds
from momentum_exp.paper.table import load_table, table_names
from momentum_exp.paper.table_csv import long_form
from momentum_exp.paper.table_entries import fill
from momentum_exp.paper.table_layout import layout
from momentum_exp.paper.typeset import latex, markdown


def names() -> list[str]:
    """All tables there are."""
    return table_names()


def needs(name: str, scale: str, seeds: Sequence[int]) -> list[Planned]:
    """The runs of every arm that the table names in every study of its columns, as far as they exist at `scale`."""
    table = load_table(name)
    studies = [load_study(study) for study in table.studies]
    return [
        run for study in studies for run in plan(study, scale, seeds, [arm for arm in table.arms if arm in study.arms])
    ]


def render(name: str, scale: str, seeds: Sequence[int], runs: Path, out: Path) -> list[Path]:
    """Write `<name>.md`, `.tex` and `.csv`. Raises UserError for finished runs that can't be used."""
    table = load_table(name)
    columns = fill(table, scale, seeds, runs)
    command = f"python -m momentum_exp.paper {name} --scale {scale} --seeds {written_seeds(seeds)}"
    plain = layout(table, columns, scale, command)
    texts = {".md": markdown(plain), ".tex": latex(plain), ".csv": long_form(table, columns, scale)}
    for suffix, text in texts.items():
        write_text_whole(out / f"{table.name}{suffix}", text)
    return [out / f"{table.name}{suffix}" for suffix in texts]
