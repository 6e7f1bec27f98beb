"""Tables: `table1` to `table5`, `ablation`, `time`, .. of conf/table."""

from collections.abc import Sequence
from pathlib import Path

from momentum_exp.paper.study import Planned, load_study, plan
from momentum_exp.paper.table import load_table, table_names


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
    """Write `<name>.md`, `.tex` and `.csv`."""
    return []
