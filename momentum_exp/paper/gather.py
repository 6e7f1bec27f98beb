"""The finished runs of what a study planned."""

from collections.abc import Collection, Sequence
from pathlib import Path

from momentum_exp.paper.run_record import RunRecord, load_run
from momentum_exp.paper.study import Planned
from momentum_exp.runs.folder import RunFolder


def gather(
    planned: Sequence[Planned], runs: Path, states: Collection[str] = ("finished",)
) -> dict[str, list[RunRecord]]:
    """The finished runs, or those in `states`, of each planned arm, in the plan's order of arms and seeds.

    An arm may have none. `runs` is the folder of all runs. Raises UserError for such a run with a file missing or
    damaged.
    """
    found: dict[str, list[RunRecord]] = {run.arm: [] for run in planned}
    for run in planned:
        folder = run.folder(runs)
        if RunFolder(folder).status().get("state") in states:
            found[run.arm].append(load_run(folder))
    return found
