"""What `python -m momentum_exp.runs` shows of runs: their state, a list, one in full, several side by side."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

import yaml

from momentum_exp.errors import UserError
from momentum_exp.runs.facts import SHORT, Facts, all_rules, defaults
from momentum_exp.runs.state import STATES
from momentum_exp.tracking.selection import CHOSEN

GAP = "--"
ENVIRONMENT = ("commit", "dirty", "device", "precision", "threads", "python", "platform")
LISTED = ("state", "data", "cell", "cell.hidden_size", "seed")


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in aligned columns."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (header, *rows))
    return "\n".join(lines)


def written(value: Any) -> str:
    """A value as an override would say it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def status_view(runs: Sequence[Facts]) -> str:
    """A line a run: state, how far it is, what is left of its training time, and why it ended; then the counts."""
    rows = []
    for facts in runs:
        state = facts.state
        progress = GAP if state.progress is None else f"{state.step}/{state.total_steps} ({state.progress:.0%})"
        left = GAP
        if state.state != "done" and state.seconds_left is not None:
            left = str(timedelta(seconds=round(state.seconds_left)))
        rows.append((state.state, progress, left, facts.path.name, state.error))
    counts = Counter(facts.state.state for facts in runs)
    total = f"runs {len(runs)}: {', '.join(f'{count} {state}' for state, count in counts.items())}"
    return columns(("state", "steps", "time left", "run", "error"), rows) + "\n" + total


def select(runs: Sequence[Facts], conditions: Sequence[str]) -> list[Facts]:
    """The runs that meet every condition `key=value`. Raises UserError for a key that no run has, or no state."""
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not equals:
            raise UserError(f"--where {condition}: write --where key=value, for example --where cell=lstm")
        known = dict.fromkeys([*SHORT, *defaults(), *(name for facts in runs for name in facts.config)])
        if key not in known:
            last = [name for name in known if name.rpartition(".")[2] == key]
            near = last or get_close_matches(key, list(known), n=3, cutoff=0.0)
            raise UserError(f"--where {condition}: runs have no key '{key}'. Nearest: {', '.join(near)}")
        if key == "state" and value not in STATES:
            near = get_close_matches(value, STATES, n=1, cutoff=0.6) or [STATES[0]]
            raise UserError(f"--where {condition}: states are {', '.join(STATES)}. Write --where state={near[0]}")
        runs = [facts for facts in runs if equal(facts.get(key), value)]
    return list(runs)


def equal(value: Any, given: str) -> bool:
    """Whether a run's value is the one given as text: 0.60 is 0.6, null is none."""
    try:
        parsed = yaml.safe_load(given)
    except yaml.YAMLError:
        parsed = given
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(given) == value
        except ValueError:
            return False
    return bool(value == parsed) or written(value) == given


def list_view(runs: Sequence[Facts]) -> str:
    """A line a run: what it is, and its test metric under each selection rule."""
    rows = [
        (*(written(facts.get(key)) for key in LISTED), *all_rules(facts).values(), facts.metric.name, str(facts.path))
        for facts in runs
    ]
    return columns(("state", "data", "cell", "N", "seed", *CHOSEN, "metric", "run"), rows)


def csv_view(runs: Sequence[Facts]) -> str:
    """The same for a spreadsheet, in the records' units; an empty field is what was not measured."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    names = ("state", "data", "cell", "hidden_size", "seed", "metric")
    table.writerow([*names, *CHOSEN, "seconds", "parameters", "commit", "hash", "group", "path"])
    for facts in runs:
        table.writerow(
            [
                *(facts.get(key) for key in LISTED),
                facts.metric.name,
                *(facts.value(rule) for rule in CHOSEN),
                facts.state.seconds,
                facts.environment.get("parameters"),
                facts.environment.get("commit"),
                *(facts.get(key) for key in ("hash", "group", "path")),
            ]
        )
    return file.getvalue().removesuffix("\n")


def show_view(facts: Facts) -> str:
    """A run in full: facts, configuration where it is not the schema's default, metrics, environment, problems."""
    state = facts.state
    progress = "" if state.progress is None else f", step {state.step} of {state.total_steps} ({state.progress:.0%})"
    lines = [str(facts.path), f"  state        {state.state}{progress}"]
    if state.error:
        lines.append(f"  error        {state.error}")
    lines += [f"  {key:12} {facts.status[key]}" for key in ("started", "updated", "parameters") if key in facts.status]
    if state.seconds is not None:
        lines.append(f"  seconds      {state.seconds:.1f} in training steps")
    lines += [f"  {key:12} {facts.identity[key]}" for key in ("hash", "group") if key in facts.identity]
    lines.append(f"  overrides    {' '.join(facts.overrides) or GAP}")
    lines += ["", "configuration, where it is not the schema's default"]
    known = defaults()
    changed = {key: value for key, value in facts.config.items() if key not in known or value != known[key]}
    lines += [f"  {key}={written(value)}" for key, value in changed.items()] or [f"  {GAP}"]
    lines += ["", f"metrics, {facts.metric.label}"]
    for rule, how in CHOSEN.items():
        chosen = facts.metrics.get(rule) or {}
        epoch = f"epoch {chosen['epoch']}, {how}" if "epoch" in chosen else how
        validation = facts.metric.show(facts.value(rule, "val"))
        lines.append(f"  {rule:10} test {facts.metric.show(facts.value(rule))}  validation {validation}  ({epoch})")
    lines += ["", "environment" + (f", of the last of {facts.processes} processes" if facts.processes > 1 else "")]
    lines += [f"  {key:12} {written(facts.environment[key])}" for key in ENVIRONMENT if key in facts.environment]
    packages = facts.environment.get("packages")
    if isinstance(packages, Mapping):
        lines.append("  packages     " + ", ".join(f"{name} {version}" for name, version in packages.items()))
    if facts.problems:
        lines += ["", "problems", *(f"  {problem}" for problem in facts.problems)]
    return "\n".join(lines)


def compare_view(runs: Sequence[Facts]) -> str:
    """Runs side by side, a column each: configuration keys that differ, what made them, metrics by each rule.

    A key that a run's version did not have is a gap.
    """
    names = [facts.path.name for facts in runs]
    keys = dict.fromkeys(key for facts in runs for key in facts.config)
    rows = []
    for key in keys:
        values = [written(facts.config[key]) if key in facts.config else GAP for facts in runs]
        if len(set(values)) > 1:
            rows.append((key, *values))
    for key in ENVIRONMENT:
        values = [written(facts.environment[key]) if key in facts.environment else GAP for facts in runs]
        if len(set(values)) > 1:
            rows.append((f"environment: {key}", *values))
    rows.append(("state", *(facts.state.state for facts in runs)))
    for rule in CHOSEN:
        values = [f"{facts.metric.show(facts.value(rule))} {facts.metric.name}" for facts in runs]
        rows.append((f"{rule}: test", *values))
    seconds = ("seconds", *(GAP if facts.state.seconds is None else f"{facts.state.seconds:.1f}" for facts in runs))
    text = columns(("", *names), [*rows, seconds])
    problems = [f"{facts.path.name}: {problem}" for facts in runs for problem in facts.problems]
    return "\n".join([text, *problems])
