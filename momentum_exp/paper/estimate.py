"""What is left to run, in hours, from measured times; what no measurement speaks for is said to be unknown."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import mean

from momentum_exp.command_line import conf_dir
from momentum_exp.paper.progress import OPEN, Progress
from momentum_exp.paper.study import Planned, load_study
from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.state import number

PROGRESS = "its own progress"
ARM = "runs of the same arm"
STUDY = "other arms of the study"
EXPERIMENT = "minutes an epoch in conf/experiment"
SCALE = "minutes a run in conf/study"


def describe(found: Sequence[Progress], at_once: int, todo: Collection[str] = OPEN) -> str:
    """A line a study: how many runs are done, running, missing, .., and the hours that are left, with their source.

    Missing are those in one of the states `todo`; what the running ones still take counts as well.
    """
    times = _Times(found)
    studies: dict[tuple[str, str], list[Progress]] = defaultdict(list)
    for one in found:
        studies[one.run.study, one.run.scale].append(one)
    lines, total, unknown = [], 0.0, 0
    for (study, scale), members in studies.items():
        states = Counter("missing" if one.state in todo else one.state for one in members)
        counts = ", ".join(
            f"{states[state]} {state}"
            for state in ("done", "running", "missing", "failed", "diverged")
            if states[state]
        )
        estimates = [times.left(one) for one in members if one.state in (*todo, "running")]
        hours = sum(seconds for seconds, _ in estimates if seconds is not None) / 3600
        sources = Counter(source for seconds, source in estimates if seconds is not None)
        nothing = len(estimates) - sources.total()
        by = ", ".join(f"{source} ({count})" for source, count in sources.items())
        parts = [f"{hours:.2f} hours by {by}"] if sources else []
        parts += [f"time not known ({nothing})"] if nothing else []
        lines.append("; ".join([f"{study} ({scale}): {_runs(len(members))}: {counts}", *parts]))
        total, unknown = total + hours, unknown + nothing
    if not found:
        return "no runs are needed"
    beside = f" ({at_once} runs at a time: about {total / at_once:.2f})" if at_once > 1 and total else ""
    if not total and not unknown:
        return "\n".join([*lines, "nothing to run"])
    parts = [f"{total:.2f} hours{beside}"] if total else []
    parts += [f"{_runs(unknown)} whose time is not known"] if unknown else []
    return "\n".join([*lines, f"left: {', and '.join(parts)}"])


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


class _Times:
    """Seconds that whole runs took, by arm and by study."""

    def __init__(self, found: Sequence[Progress]) -> None:
        self._arms: dict[str, list[float]] = defaultdict(list)
        self._studies: dict[tuple[str, str], list[float]] = defaultdict(list)
        for one in found:
            if one.state == "done" and (seconds := _seconds(one.folder)):
                self._arms[one.run.identity.group].append(seconds)
                self._studies[one.run.study, one.run.scale].append(seconds)

    def left(self, one: Progress) -> tuple[float | None, str]:
        """Seconds that a run still takes, and what says so; None where nothing does."""
        run = one.run
        if one.state != "diverged" and one.now.seconds_left is not None:  # a diverged run starts anew
            return one.now.seconds_left, PROGRESS
        if arm := self._arms.get(run.identity.group):
            return mean(arm), ARM
        if study := self._studies.get((run.study, run.scale)):
            return mean(study), STUDY
        if (minutes := load_study(run.study).scales[run.scale].minutes) is not None:
            return 60 * minutes, SCALE
        if (minutes := _minutes_an_epoch(run)) is not None:
            return 60 * minutes * run.config.trainer.epochs, EXPERIMENT
        return None, ""


def _seconds(folder: Path) -> float | None:
    """Of a finished run: its training, and for each epoch an evaluation like the last."""
    last = (RunFolder(folder).status().get("summary") or {}).get("final") or {}
    seconds, epoch, each = (number(last.get(key)) for key in ("seconds", "epoch", "eval_seconds"))
    return None if None in (seconds, epoch, each) else float(seconds + math.ceil(epoch) * each)


def _minutes_an_epoch(run: Planned) -> float | None:
    """Minutes an epoch on 2 CPU cores of the published row that the run is, or shortens."""
    me = run.identity
    name = f"{me.data}_{me.cell}_n{run.config.cell.hidden_size}"
    same_data = f"experiment={me.data}_"
    name = next((o.removeprefix("experiment=") for o in run.overrides if o.startswith(same_data)), name)
    file = conf_dir() / "experiment" / f"{name}.yaml"
    found = re.search(r"Measured: about ([\d.]+) minutes an epoch", file.read_text()) if file.is_file() else None
    return float(found[1]) if found else None
