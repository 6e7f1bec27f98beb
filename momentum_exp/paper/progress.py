"""How far the runs of a plan are, from the disk alone."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from momentum_exp.paper.study import Planned
from momentum_exp.runs.state import RunState, run_state

OPEN = ("missing", "stale", "interrupted")
"""States of runs that the same command starts or goes on with."""
RETRIED = ("failed", "diverged")
"""States of runs that are run again on request."""


@dataclass(frozen=True)
class Progress:
    """A planned run, its folder, and what that says of it."""

    run: Planned
    folder: Path
    now: RunState

    @property
    def state(self) -> str:
        """One of `runs.state.STATES`."""
        return self.now.state


def progress(planned: Iterable[Planned], runs: Path) -> list[Progress]:
    """Each planned run, once, in the folder of all runs `runs`; seeds outermost, so that parts compare all arms.

    Diagnostics are not part of a run's identity: of plans that are one run, the one that records gradients most often
    is made.
    """
    unique: dict[str, Planned] = {}
    for run in planned:
        unique[run.identity.hash] = min(unique.get(run.identity.hash, run), run, key=_spacing)
    ordered = sorted(unique.values(), key=lambda run: run.seed)
    return [Progress(run, run.folder(runs), run_state(run.folder(runs))) for run in ordered]


def _spacing(run: Planned) -> float:
    """Iterations between gradients through time."""
    wanted = run.config.diagnostics
    return wanted.every if wanted.gradient_through_time else math.inf
