"""What a job came to, on the screen: one run in full, a sweep as a table."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from momentum_exp.metrics import Metric

GAP = "--"
COLUMNS = ("state", "selection metric", "seconds", "job", "run")


@dataclass(frozen=True)
class Outcome:
    """`where` is the run folder, or `--` where the job came to none; `job` are its overrides.

    `metric` (NaN: none) is what to select by, in the records' unit: the task's metric, its best on the validation
    split, or the final one on the test split where nothing is held out; `written` is how it is written, `selection`
    says which it is. `seconds` were spent in training steps.
    """

    state: str
    where: str
    metric: float = math.nan
    written: str = GAP
    selection: str = ""
    seconds: float | None = None
    job: str = ""


def report(folder: Path, status: dict[str, Any], metric: Metric) -> Outcome:
    """Print a finished run's metrics under every selection rule, and the losses that take no training."""
    chosen = status.get("summary") or {}
    for rule, metrics in chosen.items():
        if metrics:
            parts = [f"test {metric.name} {metric.show(metrics.get(f'test_{metric.name}'))}"]
            if metric.name != "loss":
                parts.append(f"test loss {shown(metrics.get('test_loss'), '.4f')}")
            if f"val_{metric.name}" in metrics:
                parts.append(f"validation {metric.name} {metric.show(metrics[f'val_{metric.name}'])}")
            print(f"  {rule:9} {'  '.join(parts)}  (epoch {metrics['epoch']}, {metrics['chosen']})")
        else:
            print(f"  {rule:9} {GAP}  (no validation rows: data.validation holds some out)")
    for name, loss in (status.get("baselines") or {}).items():
        print(f"  {'baseline':9} loss {loss:.5f}  ({name}, without training)")
    if best := chosen.get("best_val"):
        value, selection = best.get(f"val_{metric.name}"), f"best validation {metric.name}"
    else:
        value = (chosen.get("final") or {}).get(f"test_{metric.name}")
        selection = f"final test {metric.name}, no validation rows"
    print(f"  selection: {selection}")
    print(f"  records   {folder}")
    number = math.nan if value is None else value
    return Outcome("finished", str(folder), number, metric.show(value), selection, status.get("seconds"))


def show_sweep(outcomes: Sequence[Outcome], console: Console | None = None) -> None:
    """Print a line for each run of a sweep, those that did not finish last, and how many there are of each state.

    Equal jobs are one run; of a job's overrides those are shown that not all jobs share. A table on a terminal,
    else plain lines.
    """
    shared = set.intersection(*(set(outcome.job.split()) for outcome in outcomes))
    outcomes = [
        replace(outcome, job=" ".join(part for part in outcome.job.split() if part not in shared) or GAP)
        for outcome in outcomes
    ]
    console = console or Console()
    jobs: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        jobs.setdefault(outcome.job if outcome.where == GAP else outcome.where, []).append(outcome)
    runs = sorted((same[-1] for same in jobs.values()), key=lambda run: run.state != "finished")
    rows = [cells(same) for same in sorted(jobs.values(), key=lambda same: same[-1].state != "finished")]
    if console.is_interactive:
        table = Table(*COLUMNS[:-1])
        table.add_column(COLUMNS[-1], overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
    else:
        widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
        for row in (COLUMNS, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    states = ", ".join(f"{count} {state}" for state, count in Counter(run.state for run in runs).items())
    print(f"jobs {len(outcomes)}, runs {len(runs)}: {states}")


def cells(same: Sequence[Outcome]) -> tuple[str, ...]:
    """One line of the table: a run and the jobs that came to it."""
    run = same[-1]
    metric = GAP if math.isnan(run.metric) else f"{run.written} ({run.selection})"
    reused = f" (and {len(same) - 1} equal)" if len(same) > 1 else ""
    return run.state, metric, shown(run.seconds, ".1f"), same[0].job + reused, run.where


def shown(value: float | None, form: str) -> str:
    """A number in the given format, or a gap for one that is not there."""
    return GAP if value is None else format(value, form)


def first_line(text: str) -> str:
    """The first line of an error."""
    return text.strip().partition("\n")[0]
