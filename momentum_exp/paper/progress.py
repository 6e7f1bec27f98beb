"""How far the runs of a plan are, from the disk alone."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momentum_exp.paper.study import Planned
from momentum_exp.runs.folder import RunFolder

OPEN = ("missing", "stale", "interrupted")
"""States of runs that the same command starts or goes on with; `failed` and `diverged` are run again on request."""


@dataclass(frozen=True)
class Progress:
    """A planned run and its state: `done`, `running`, `failed`, `diverged`, or one of OPEN.

    `status` is what its status.json holds; empty where there is none.
    """

    run: Planned
    state: str
    status: dict[str, Any]

    @property
    def error(self) -> str:
        """The first line of why it failed or diverged; empty where it did not."""
        return str(self.status.get("error") or "").strip().partition("\n")[0]


def progress(planned: Iterable[Planned], runs: Path) -> list[Progress]:
    """Each planned run, once, with its state in the folder of all runs `runs`, seeds outermost.

    In this order partial results compare all arms. Raises UserError for a status.json that is damaged.
    """
    unique: dict[str, Planned] = {}
    for run in planned:
        unique.setdefault(run.identity.hash, run)
    found = []
    for run in sorted(unique.values(), key=lambda run: run.seed):
        status = RunFolder(run.folder(runs)).status()
        found.append(Progress(run, _state(status), status))
    return found


def _state(status: dict[str, Any]) -> str:
    match status.get("state"):
        case "finished":
            return "done"
        case "running":
            return "running" if _lives(status) else "stale"
        case "failed" | "diverged" | "interrupted" as state:
            return str(state)
        case _:
            return "missing"


def _lives(status: dict[str, Any]) -> bool:
    """Whether the process is there that says it is at a run; one on another machine is taken at its word."""
    if status.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(status["pid"]), 0)
    except (ProcessLookupError, KeyError, ValueError):
        return False
    except PermissionError:  # another user's
        return True
    return True
