"""A small table of finished runs: test accuracy by each selection rule, never without its rule."""

from collections.abc import Sequence
from statistics import mean, stdev

from momentum_exp.paper.groups import Group, group_runs
from momentum_exp.paper.run_record import RunRecord
from momentum_exp.tracking.selection import CHOSEN, select

GAP = "--"
CAPTION = "Test accuracy (%) at one epoch of each run: mean ± sample standard deviation (n seeds).\n\n"


def table(runs: Sequence[RunRecord]) -> str:
    """A Markdown table of test accuracies, one row a configuration, one column a selection rule.

    The standard deviation divides by n - 1, as the paper's does, and is left out for a single run. `--`
    stands for what was not measured.
    """
    groups = group_runs(runs)
    columns = {
        "data": [group.data for group in groups],
        "cell": [group.cell for group in groups],
        "N": [str(group.hidden_size) for group in groups],
        "settings": [group.settings or GAP for group in groups],
        "parameters": [_parameters(group) for group in groups],
    }
    for rule, chosen in CHOSEN.items():
        columns[chosen] = [_accuracy(group, rule) for group in groups]
    rows = [columns, ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return CAPTION + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _parameters(group: Group) -> str:
    count = group.runs[0].status.get("parameters")
    return GAP if count is None else f"{count:,}"


def _accuracy(group: Group, rule: str) -> str:
    chosen = [select(run.epochs, rule) for run in group.runs]
    percent = [100 * epoch["test_accuracy"] for epoch in chosen if epoch and epoch["test_accuracy"] is not None]
    if not percent:
        return GAP
    spread = f" ± {stdev(percent):.2f}" if len(percent) > 1 else ""
    return f"{mean(percent):.2f}{spread} ({len(percent)})"
