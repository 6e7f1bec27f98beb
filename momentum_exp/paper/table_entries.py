"""The numbers of a table: for each arm and column what the finished runs say, and what was published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from momentum_exp.metrics import METRICS, Metric
from momentum_exp.paper.gather import gather
from momentum_exp.paper.progress import Progress, progress
from momentum_exp.paper.published_numbers import Published, published
from momentum_exp.paper.quantity import QUANTITIES, Quantity
from momentum_exp.paper.study import Planned, Study, load_study, plan
from momentum_exp.paper.table import Column, Table
from momentum_exp.tracking.run_record import RunRecord


@dataclass(frozen=True)
class Entry:
    """One arm in one column: the runs planned with their states, the finished ones, and what was published."""

    label: str
    column: Column
    planned: Sequence[Progress]
    runs: Sequence[RunRecord]
    published: Sequence[Published]

    @property
    def first(self) -> Planned:
        """The run of the first seed: all have one configuration but for the seed."""
        return self.planned[0].run

    @property
    def quantity(self) -> Quantity:
        return QUANTITIES[self.column.quantity]

    @property
    def metric(self) -> Metric:
        """What the task of the runs is judged by."""
        return METRICS[self.first.config.task.name]

    @property
    def heading(self) -> str:
        """What the column holds: `Pixel MNIST, test accuracy (%)`."""
        words = self.quantity.heading(self.metric, self.column.split, self.column.threshold)
        return f"{self.task}, {words}"

    @property
    def task(self) -> str:
        """What the study is about at the scale of its runs: `Pixel MNIST`."""
        return load_study(self.column.study).title_at(self.first.scale)

    @property
    def values(self) -> dict[int, float]:
        """The value of each finished run that has one, by seed."""
        column = self.column
        found = {run.seed: self.quantity.of(run, column.split, column.rule, column.threshold) for run in self.runs}
        return {seed: value for seed, value in found.items() if value is not None}

    @property
    def censored(self) -> bool:
        """Whether runs without a value are slower than all that have one, so that those alone would flatter."""
        return self.quantity.awaited and len(self.values) < len(self.runs)

    @property
    def mean(self) -> float | None:
        """Over the seeds that have a value; None without one, or where some are censored."""
        return mean(self.values.values()) if self.values and not self.censored else None

    @property
    def std(self) -> float | None:
        """The sample standard deviation (n - 1); None for fewer than two values, or where there is no mean."""
        return stdev(self.values.values()) if len(self.values) > 1 and self.mean is not None else None

    @property
    def parameters(self) -> int | None:
        """Of the model, where a run has told it."""
        return next((run.status.get("parameters") for run in self.runs), None)


@dataclass(frozen=True)
class Filled:
    """A column with its entries by arm, in the order of rows; none where its study lacks the scale."""

    column: Column
    study: Study
    entries: Mapping[str, Entry]

    @property
    def heading(self) -> str:
        return next(iter(self.entries.values())).heading

    @property
    def has_published(self) -> bool:
        return any(entry.published for entry in self.entries.values())


def fill(table: Table, scale: str, seeds: Sequence[int], runs: Path) -> list[Filled]:
    """All columns of a table. Raises UserError for finished runs that can't be used."""
    return [_filled(table, column, scale, seeds, runs) for column in table.columns]


def _filled(table: Table, column: Column, scale: str, seeds: Sequence[int], runs: Path) -> Filled:
    study = load_study(column.study)
    planned = plan(study, scale, seeds, [arm for arm in table.arms if arm in study.arms])
    finished = gather(planned, runs)
    found = progress(planned, runs)
    entries = {
        arm: Entry(
            label=study.arms[arm].label,
            column=column,
            planned=[one for one in found if one.run.arm == arm],
            runs=finished[arm],
            published=published(column.study, arm, column.key, column.split),
        )
        for arm in table.arms
        if arm in finished
    }
    return Filled(column, study, entries)
