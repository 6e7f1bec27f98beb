"""What a run folder says of its run, from the disk alone: no model, no configuration is built."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momentum_exp.errors import UserError
from momentum_exp.runs.claim import alive
from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.outcome import first_line

STATES = ("done", "running", "stale", "interrupted", "failed", "diverged", "missing")
NEEDED = ("status.json", "identity.json", ".hydra/config.yaml", "metrics.jsonl")
MEND = "force=true runs it again"


@dataclass(frozen=True)
class RunState:
    """One of STATES, how far the run is, and why it ended where it did not finish.

    `running`: a process is at it; `stale`: its process is gone without a word (killed, crashed). Both `stale` and
    `interrupted` are gone on with by the same command, `failed` and `diverged` with `retry=true` alone. `step` of
    `total_steps` were done in `seconds` of training at the last checkpoint (None: not known). `error` is its first
    line.
    """

    state: str
    step: int | None = None
    total_steps: int | None = None
    seconds: float | None = None
    error: str = ""

    @property
    def progress(self) -> float | None:
        """The part of the run that is done, 0 to 1."""
        return None if self.step is None or not self.total_steps else self.step / self.total_steps

    @property
    def seconds_left(self) -> float | None:
        """Seconds of training that are left at the run's own pace so far; None where nothing is done yet."""
        if not self.step or self.total_steps is None or self.seconds is None:
            return None
        return self.seconds / self.step * (self.total_steps - self.step)


def run_state(path: Path) -> RunState:
    """The state of the run in folder `path`; `missing` where there is none. Never raises for what a folder holds."""
    folder = RunFolder(path)
    try:
        status = folder.status()
    except UserError as error:
        return RunState("failed", error=first_line(str(error)))
    state, why = recorded_state(folder, status), first_line(str(status.get("error") or ""))
    if state == "damaged":
        state, why = "failed", damage(path)
    if state != "done" and alive(path):
        state = "running"
    elif state == "running":
        state = "stale"
    step, total_steps, seconds = (number(status.get(key)) for key in ("step", "total_steps", "seconds"))
    return RunState(state, step, total_steps, seconds, why)


def recorded_state(folder: RunFolder, status: dict[str, Any]) -> str:
    """The state that the run's own process has left, whether it lives or not; `damaged` where it left another."""
    match status.get("state"):
        case None if folder.has_checkpoint:
            return "interrupted"
        case None:
            return "damaged" if folder.has_records else "missing"
        case "finished":
            return "damaged" if absent(folder.path) else "done"
        case "running" | "interrupted" | "failed" | "diverged":
            return str(status["state"])
        case _:
            return "damaged"


def damage(path: Path) -> str:
    """What is wrong with a run folder that is damaged, in words."""
    if gone := absent(path):
        return f"the folder is half deleted: {', '.join(gone)} missing; {MEND}"
    return f"status.json has no known state; {MEND}"


def absent(path: Path) -> list[str]:
    """Which of the files that a finished run has are not there."""
    return [name for name in NEEDED if not (path / name).is_file()]


def number(value: Any) -> Any:
    """A number, or None for anything else that a file may hold."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
