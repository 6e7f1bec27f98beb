"""A small table of finished runs: the test metric by each selection rule, never without its rule."""

from collections.abc import Sequence
from statistics import mean, stdev

from momentum_exp.metrics import Metric
from momentum_exp.summary.groups import Group, group_runs
from momentum_exp.summary.provenance import provenance
from momentum_exp.tracking.run_record import RunRecord
from momentum_exp.tracking.selection import CHOSEN, select

GAP = "--"
CAPTION = "Test {} at one epoch of each run: mean ± sample standard deviation (n seeds).\n\n"


def table(runs: Sequence[RunRecord]) -> str:
    """A Markdown table of test metrics for each metric there is, one row a configuration, one column a rule.

    The standard deviation divides by n - 1, as the paper's does, and is left out for a single run. `--`
    stands for what was not measured. Commits, devices and versions are listed below, in capitals where they are mixed.
    """
    groups = group_runs(runs)
    by_metric: dict[Metric, list[Group]] = {}
    for group in groups:
        by_metric.setdefault(group.runs[0].metric, []).append(group)
    tables = "\n".join(_table(metric, members) for metric, members in by_metric.items())
    return f"{tables}\n{'. '.join(provenance(runs))}.\n"


def _table(metric: Metric, groups: Sequence[Group]) -> str:
    columns = {
        "data": [group.data for group in groups],
        "cell": [group.cell for group in groups],
        "N": [str(group.hidden_size) for group in groups],
        "settings": [group.settings or GAP for group in groups],
        "parameters": [_parameters(group) for group in groups],
    }
    for rule, chosen in CHOSEN.items():
        columns[chosen] = [_value(group, rule, metric) for group in groups]
    if any(group.runs[0].baselines for group in groups):
        columns["loss without training"] = [_baselines(group) for group in groups]
    rows = [columns, ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return CAPTION.format(metric.label) + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _parameters(group: Group) -> str:
    count = group.runs[0].status.get("parameters")
    return GAP if count is None else f"{count:,}"


def _baselines(group: Group) -> str:
    return ", ".join(f"{loss:.5f} ({name})" for name, loss in group.runs[0].baselines.items()) or GAP


def _value(group: Group, rule: str, metric: Metric) -> str:
    name = f"test_{metric.name}"
    chosen = [select(run.epochs, rule, metric) for run in group.runs]
    values = [metric.scale * epoch[name] for epoch in chosen if epoch and epoch.get(name) is not None]
    if not values:
        return GAP
    spread = f" ± {metric.number(stdev(values))}" if len(values) > 1 else ""
    return f"{metric.number(mean(values))}{spread} ({len(values)})"
