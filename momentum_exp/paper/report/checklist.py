"""What records can answer of the NeurIPS reproducibility checklist: Markdown."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from momentum_exp.paper.claims.render import rows
from momentum_exp.paper.report.runs import settings
from momentum_exp.summary.provenance import UNKNOWN, commits
from momentum_exp.tracking.run_record import RunRecord


def checklist(used: Sequence[RunRecord], there: Sequence[RunRecord], scale: str) -> str:
    """The page. used: the runs behind the tables, figures and claims; there: all in the folder, trials included."""
    lines = [
        f"# Reproducibility checklist, from the records, {scale} scale",
        "",
        "The items of the NeurIPS paper checklist that run records answer; for the others see "
        "docs/reproducibility-checklist.md.",
        "",
    ]
    if not used:
        return "\n".join([*lines, "No run is behind the files here, so there is nothing to fill in."]) + "\n"
    processes = [process for run in used for process in run.environments]
    packages = Counter(
        f"{name} {version}"
        for process in processes
        for name, version in (process.get("packages") or {}).items()
        if version
    )
    answers = {
        "Training details: commits": counted(commit for run in used for commit in commits(run)),
        "Training details: seeds": seeds(used),
        "Training details: command of each run": "in the HTML report, beside each run",
        "Error bars": "tables: sample standard deviation over seeds; claims: 95% interval of paired differences; seeds "
        "vary initialisation, batches and, with data.permutation=released, the permutation",
        "Compute: devices": counted(str(process.get("device")) for process in processes),
        "Compute: threads a run": counted(str(process.get("threads")) for process in processes),
        "Compute: cores of the machine": counted(str(process.get("cpu_count")) for process in processes),
        "Compute: operating system": counted(str(process.get("platform")) for process in processes),
        "Compute: Python": counted(str(process.get("python")) for process in processes),
        "Compute: packages": ", ".join(sorted(packages)) or UNKNOWN,
        "Compute: hours of the runs used": f"{hours(used):.2f} in {len(used)} runs",
        "Compute: hours of all runs in the folder, trials and diverged ones included": (
            f"{hours(there):.2f} in {len(there)} runs ({counted(str(run.status.get('state')) for run in there)})"
        ),
    }
    lines += [*rows(["item", "answer"], answers.items()), "", "## Compute and hyperparameters by configuration", ""]
    return "\n".join([*lines, *configurations(used)]) + "\n"


def configurations(used: Sequence[RunRecord]) -> list[str]:
    """A table of the configurations: all settings that apply, seeds, and seconds a run."""
    groups: dict[str, list[RunRecord]] = defaultdict(list)
    for run in used:
        groups[run.identity["group"]].append(run)
    body = [
        [
            f"{runs[0].identity['data']}, {runs[0].identity['cell']}",
            ", ".join(str(run.seed) for run in sorted(runs, key=lambda run: run.seed)),
            f"{3600 * hours(runs) / len(runs):,.0f}",
            ", ".join(f"{key} = {value}" for key, value in settings(runs[0]).items()),
        ]
        for runs in groups.values()
    ]
    return rows(["data, cell", "seeds", "seconds a run", "settings"], sorted(body))


def seeds(used: Sequence[RunRecord]) -> str:
    """How many configurations have how many seeds."""
    groups = Counter(run.identity["group"] for run in used)
    return counted(f"{n} seed{'s' if n > 1 else ''}" for n in groups.values()).replace("(", "(configurations: ")


def hours(runs: Iterable[RunRecord]) -> float:
    """Of training and evaluation in all, as far as recorded."""
    return sum(seconds(run) for run in runs) / 3600


def seconds(run: RunRecord) -> float:
    """Of a run: its training steps, and the evaluation of each epoch."""
    evaluated = sum(epoch.get("eval_seconds") or 0.0 for epoch in run.epochs)
    return (run.status.get("seconds") or 0.0) + evaluated


def counted(values: Iterable[str]) -> str:
    """Each value with how often it is there, most frequent first."""
    return ", ".join(f"{value} ({n})" for value, n in Counter(values).most_common()) or UNKNOWN
