"""What code and which devices numbers come from: said under each table, and loudly where it is mixed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from momentum_exp.tracking.run_record import RunRecord

UNKNOWN = "not known"


def commits(run: RunRecord) -> list[str]:
    """The commits of the processes that were at a run, each once; `+changes` where its code was changed."""
    return _each(f"{facts.get('commit') or UNKNOWN}{'+changes' if facts.get('dirty') else ''}" for facts in _facts(run))


def devices(run: RunRecord) -> list[str]:
    """The devices that a run was on, each once."""
    return _each(facts.get("device") or UNKNOWN for facts in _facts(run))


def threads(run: RunRecord) -> list[str]:
    """How many threads the processes had, each number once."""
    return _each(facts.get("threads") or UNKNOWN for facts in _facts(run))


def provenance(runs: Sequence[RunRecord]) -> list[str]:
    """A line each for commits, devices, threads a process and versions of torch, with numbers of runs.

    MIXED where they are several.
    """
    if not runs:
        return []
    versions = [_each((facts.get("packages") or {}).get("torch") or UNKNOWN for facts in _facts(run)) for run in runs]
    return [
        _line("commit", "commits", [commits(run) for run in runs]),
        _line("device", "devices", [devices(run) for run in runs]),
        _line("threads", "numbers of threads", [threads(run) for run in runs]),
        _line("torch", "versions of torch", versions),
    ]


def _facts(run: RunRecord) -> Sequence[dict[str, Any]]:
    return run.environments or [{}]


def _each(names: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(str(name) for name in names))


def _line(what: str, several: str, of_runs: Sequence[Sequence[str]]) -> str:
    counts = Counter(name for names in of_runs for name in names)
    listed = "; ".join(f"{name} ({count} run{'s' if count > 1 else ''})" for name, count in counts.most_common())
    return f"MIXED {several.upper()}: {listed}" if len(counts) > 1 else f"{what}: {listed}"
