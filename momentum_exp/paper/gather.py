"""The finished runs of what a study planned."""

from collections.abc import Collection, Sequence
from pathlib import Path

from momentum_exp.errors import UserError
from momentum_exp.paper.study import Planned
from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.identity import identity
from momentum_exp.runs.load import typed_config
from momentum_exp.tracking.run_record import RunRecord, read_run

ENDED = ("finished", "diverged")
"""States of runs that no process will change any more, and that count in a comparison."""


def gather(
    planned: Sequence[Planned], runs: Path, states: Collection[str] = ("finished",)
) -> dict[str, list[RunRecord]]:
    """The finished runs, or those in `states`, of each planned arm, in the plan's order of arms and seeds.

    An arm may have none. `runs` is the folder of all runs. Raises UserError for such a run with a file missing or
    damaged, or whose configuration is not the planned one: never are runs of different configurations taken together.
    """
    found: dict[str, list[RunRecord]] = {run.arm: [] for run in planned}
    for run in planned:
        folder = run.folder(runs)
        if RunFolder(folder).status().get("state") in states:
            found[run.arm].append(_checked(read_run(folder), run))
    return found


def check_runs(runs: Path, *, needed: bool) -> None:
    """Raise UserError where `runs` is no folder, or there is none although it is needed."""
    if not runs.is_dir() and (needed or runs.exists()):
        raise UserError(f"{runs}: there is no such folder of runs. Write --runs FOLDER (with make: RUNS=FOLDER)")


def _checked(record: RunRecord, planned: Planned) -> RunRecord:
    """The record, if its configuration is what was planned by the schema of today."""
    again = f"Move the folder away, or write {planned.command} force=true paths.runs={record.path.parent}"
    try:
        config = typed_config(record)
    except UserError as error:
        raise UserError(f"{error}. {again}") from error
    if identity(config).hash != planned.identity.hash or record.identity.get("hash") != planned.identity.hash:
        raise UserError(
            f"{record.path} does not hold the run of its name: its configuration has the hash "
            f"{identity(config).hash}, its identity.json {record.identity.get('hash')}; it was edited, or made by "
            f"another version. {again}"
        )
    return record
