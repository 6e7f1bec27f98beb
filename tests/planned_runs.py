"""Folders of planned runs, written as a run writes them, with measurements of the test's choice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from momentum_exp.paper.study import Planned
from momentum_exp.runs.folder import RunFolder
from momentum_exp.tracking.records import Records

CLEAN = {"commit": "c0ffee0", "dirty": False, "device": "cpu: a", "packages": {"torch": "2.9"}}


def finish(
    planned: Planned,
    runs: Path,
    epochs: Sequence[dict[str, float]],
    state: str = "finished",
    environments: Sequence[dict[str, Any]] = (CLEAN,),
    **facts: Any,
) -> Path:
    """Write the folder of a planned run as the run does, with `epochs` (a second each) for what it has measured."""
    folder = RunFolder(planned.folder(runs))
    with folder.locked():
        folder.describe(planned.config, planned.identity, list(planned.overrides))
        folder.write("environment.json", list(environments))
        records = Records(folder.metrics)
        for number, epoch in enumerate(epochs, start=1):
            spent = {"epoch": number, "step": 10 * number, "seconds": 1.0 * number, "eval_seconds": 0.5}
            records.append({"kind": "epoch", **spent, **epoch})
        folder.set_status(state, parameters=12345, **facts)
    return folder.path
