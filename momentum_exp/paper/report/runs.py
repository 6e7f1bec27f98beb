"""The facts of each run that a report shows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momentum_exp.command_line import say
from momentum_exp.config import RESULT_GROUPS, schema_keys
from momentum_exp.errors import UserError
from momentum_exp.paper.run_command import run_command
from momentum_exp.summary.provenance import UNKNOWN, commits, devices, threads
from momentum_exp.tracking.run_folders import folders_with
from momentum_exp.tracking.run_record import RunRecord, read_run
from momentum_exp.tracking.selection import CHOSEN, select


@dataclass(frozen=True)
class RunEntry:
    """A run as the report shows it: a line, and what is one click away, by what it is called."""

    hash: str
    name: str
    state: str
    number: str
    facts: Mapping[str, str]


def all_runs(folder: Path) -> dict[str, RunRecord]:
    """The readable runs at or below `folder` by hash, whatever their state; a damaged one is named and left out.

    Of several folders of one run the one nearest to `folder` counts, which is the one that tables are made of.
    """
    found: dict[str, RunRecord] = {}
    for path in folders_with(("status.json",), folder):
        try:
            run = read_run(path)
        except (UserError, OSError) as error:
            say(f"warning: left out of the report: {error}")
            continue
        found.setdefault(run.identity["hash"], run)
    return found


def entries(runs: Iterable[RunRecord]) -> list[RunEntry]:
    """One entry a run, in the order of names; settings are those in which runs on one data set differ."""
    runs = sorted(runs, key=lambda run: (run.identity["data"], run.identity["cell"], run.identity["group"], run.seed))
    by_data: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        by_data[run.identity["data"]].append(run)
    return [entry(run, by_data[run.identity["data"]]) for run in runs]


def entry(run: RunRecord, others: Sequence[RunRecord]) -> RunEntry:
    """What there is to say of one run, among those on the same data."""
    metric = run.metric
    chosen = {rule: select(run.epochs, rule, metric) for rule in CHOSEN}
    values = {rule: metric.show(epoch.get(f"test_{metric.name}")) for rule, epoch in chosen.items() if epoch}
    own, rest = settings(run), [settings(other) for other in others]
    differing = [f"{key} = {own[key]}" for key in own if any(other.get(key) != own[key] for other in rest)]
    facts = {
        "settings that differ": ", ".join(differing) or "none",
        "seed": str(run.seed),
        **{f"test {metric.label}, {CHOSEN[rule]}": value for rule, value in values.items()},
        "command": run_command(run),
        "commit": ", ".join(commits(run)),
        "device": ", ".join(devices(run)),
        "threads": ", ".join(threads(run)),
        "seconds": f"{run.status['seconds']:,.0f}" if "seconds" in run.status else UNKNOWN,
        "iterations": f"{run.status['step']:,}" if "step" in run.status else UNKNOWN,
        "parameters": f"{run.status['parameters']:,}" if "parameters" in run.status else UNKNOWN,
        **({"error": str(run.status["error"])} if "error" in run.status else {}),
    }
    number = values.get("best_val") or values.get("final") or "--"
    return RunEntry(run.identity["hash"], run.path.name, str(run.status.get("state")), number, facts)


def settings(run: RunRecord) -> dict[str, Any]:
    """All settings that can change what the run computes, those that apply, by their full keys; so no folders."""
    decisive = {name for name, field in schema_keys() if field.metadata["result"]}
    return {
        f"{group}.{key}": value
        for group in RESULT_GROUPS
        for key, value in run.config.get(group, {}).items()
        if value is not None and f"{group}.{key}" in decisive
    }
