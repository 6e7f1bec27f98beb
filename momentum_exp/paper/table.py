"""What a table holds: arms of studies as rows, a quantity of one study's runs as column (`conf/table`)."""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from omegaconf import MISSING

from momentum_exp.command_line import conf_dir
from momentum_exp.errors import UserError
from momentum_exp.paper.quantity import QUANTITIES
from momentum_exp.paper.study import load_study, load_typed, unknown
from momentum_exp.tracking.selection import CHOSEN

SPLITS = ("test", "val")


@dataclass
class Column:
    """One quantity of one study's runs: which (quantity.py), on which split, at the epoch that `rule` chooses.

    threshold: for a quantity that is awaited and in the metric's unit, what is to be reached.
    """

    study: str = MISSING
    quantity: str = "metric"
    split: str = "test"
    rule: str = "final"
    threshold: float | None = None

    @property
    def key(self) -> str:
        """The quantity with its threshold, as published numbers name it."""
        return self.quantity if self.threshold is None else f"{self.quantity} {self.threshold:g}"


@dataclass
class Table:
    """The content of `conf/table/<name>.yaml`.

    rows: names of arms; null: all arms of the studies. ours: which of them the paper lacks. notes: to print below.
    """

    title: str = MISSING
    columns: list[Column] = MISSING
    rows: list[str] | None = None
    ours: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    name: str = ""

    @property
    def studies(self) -> list[str]:
        """The studies of the columns, each once."""
        return list(dict.fromkeys(column.study for column in self.columns))

    @property
    def arms(self) -> list[str]:
        """The rows, in order."""
        if self.rows is not None:
            return self.rows
        return list(dict.fromkeys(arm for study in self.studies for arm in load_study(study).arms))


def table_names() -> list[str]:
    """All tables there are, those of the paper first."""
    return sorted(
        (file.stem for file in (conf_dir() / "table").glob("*.yaml")), key=lambda name: (name[:5] != "table", name)
    )


@cache
def load_table(name: str) -> Table:
    """The table `name`, or the one in a YAML file of the user's where `name` is its path.

    Raises UserError where the file is not a table, or names what is not there.
    """
    own = name.endswith(".yaml")
    path = Path(name) if own else conf_dir() / "table" / f"{name}.yaml"
    table: Table = replace(load_typed(path, Table), name=path.stem)
    if not table.columns:
        raise UserError(f"{path}: columns is empty; write what to show, as conf/table/table1.yaml does")
    for column in table.columns:
        for kind, value, known in (
            ("quantity", column.quantity, list(QUANTITIES)),
            ("split", column.split, list(SPLITS)),
            ("selection rule", column.rule, list(CHOSEN)),
        ):
            if value not in known:
                raise UserError(f"{path}: {unknown(kind, value, known)}")
        if (column.threshold is None) == QUANTITIES[column.quantity].awaited:
            awaited = " and ".join(name for name, quantity in QUANTITIES.items() if quantity.awaited)
            raise UserError(
                f"{path}: threshold={column.threshold} with quantity {column.quantity}: {awaited} alone take one"
            )
    known = list(dict.fromkeys(arm for study in table.studies for arm in load_study(study).arms))
    for arm in [*table.arms, *table.ours]:
        if arm not in known:
            raise UserError(f"{path}: {unknown('arm of its studies', arm, known)}")
    if len(set(table.arms)) < len(table.arms):
        raise UserError(f"{path}: an arm stands in two rows; leave one")
    return table
