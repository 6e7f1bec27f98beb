"""One run from its configuration to its records: validate, identify, lock, train, draw."""

import contextlib
import errno
import shutil
import traceback
import warnings
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from momentum_exp.command_line import given_keys
from momentum_exp.config import Config
from momentum_exp.data import Dataset, data_root, load_dataset
from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS
from momentum_exp.runs.claim import Busy, Lost, alive
from momentum_exp.runs.environment import environment, numerics
from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.identity import identity
from momentum_exp.runs.outcome import Outcome, first_line, report
from momentum_exp.runs.state import damage, recorded_state
from momentum_exp.summary.draw import draw
from momentum_exp.tasks import Task, build_task
from momentum_exp.tracking import make_trackers
from momentum_exp.tracking.mirrors import Mirrors
from momentum_exp.tracking.records import Records
from momentum_exp.tracking.run_record import read_run
from momentum_exp.tracking.selection import summary
from momentum_exp.tracking.tracker import Tracker
from momentum_exp.training.device import Machine, set_up_machine
from momentum_exp.training.distributed import ProcessLost, Ranks, current_ranks
from momentum_exp.training.interruption import Interrupted, Stopped
from momentum_exp.training.loop import Diverged, train
from momentum_exp.training.optimizers import check_validation
from momentum_exp.validation import validate

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EIO)

NEXT = {
    "failed": "retry=true goes on from its last checkpoint, force=true starts again",
    "diverged": "retry=true starts it again",
}


class RunFailed(Exception):
    """A run that ended early, in `state`, for a reason that needs no traceback."""

    def __init__(self, message: str, exit_code: int, folder: RunFolder, state: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.outcome = Outcome(state, str(folder.path))


def run(
    composed: DictConfig,
    overrides: Sequence[str] = (),
    *,
    sweep: bool = False,
    followers: Sequence[Tracker] = (),
    done: Collection[str] = (),
) -> Outcome:
    """Do the run that `composed` describes, unless it is finished already or another process is at it.

    `followers` are told of it beside the trackers that the configuration names. `done` are folders of runs that the
    sweep has done, which force=true does not start once more. Raises UserError before anything is
    on disk, RunFailed when training diverged, was interrupted or the disk refused, Stopped when a follower did.
    """
    ranks = current_ranks()
    if not ranks.first:
        return follow(composed, overrides, ranks)
    config = validate(composed, given_keys(overrides), sweep=sweep)
    me = identity(config)
    folder = RunFolder(Path(config.paths.runs) / me.folder)
    force = config.force and str(folder.path) not in done
    if not force and (outcome := earlier_outcome(folder, config)):
        return outcome
    if alive(folder.path):  # before the data is loaded: a sweep over many machines meets many such runs
        return busy(folder, Busy())
    dataset, machine, task = prepare(config, ranks)
    trackers = make_trackers(
        config.tracking.name,
        run_dir=folder.path,
        identity={"hash": me.hash, "group": me.group, "name": me.name},
        config=plain(config),
        project=config.tracking.project,
        entity=config.tracking.entity,
        mode=config.tracking.mode,
        tags=config.tracking.tags,
    )
    tracker = Mirrors([*trackers, *followers])
    try:
        with folder.locked():
            if not force and (outcome := earlier_outcome(folder, config)):  # of a process at it until now
                return outcome
            ranks.call()
            if force or folder.status().get("state") == "diverged":  # it would diverge again from where it was
                folder.clear()
            folder.sweep_up()
            parameters = sum(p.numel() * (2 if p.is_complex() else 1) for p in task.parameters())
            facts = environment(machine, parameters)
            folder.describe(config, me, list(overrides))
            folder.add_environment(facts)
            folder.set_status("running", parameters=parameters, baselines=dict(dataset.baselines))
            records = Records(folder.metrics)
            origin = {
                "numerics": numerics(machine),
                "code": {key: facts[key] for key in ("commit", "dirty")},
                "diagnostics": asdict(config.diagnostics),
            }
            state, result = "failed", {}
            try:
                train(
                    config,
                    task,
                    dataset,
                    machine,
                    folder.path,
                    records,
                    tracker,
                    origin,
                    folder.set_status,
                    folder.claim.check,
                )
                result = summary(records.epochs(), METRICS[config.task.name])
                folder.set_status("finished", summary=result)
                state = "finished"
            except Diverged as error:
                state = "diverged"
                folder.set_status(state, error=str(error))
                message = f"{folder.path}: diverged at {error}. The records are kept."
                raise RunFailed(message, 1, folder, state) from error
            except (Interrupted, KeyboardInterrupt) as error:
                state = "interrupted"
                folder.set_status(state)
                where = f" {error}" if str(error) else ""
                message = f"{folder.path}: interrupted{where}; the same command goes on."
                raise RunFailed(message, 130, folder, state) from error
            except Stopped as reason:
                state = "interrupted"
                folder.set_status(state, reason=str(reason))
                raise
            except Lost:
                state = "interrupted"  # here; the process that goes on says what comes of the run
                raise
            except UserError as error:
                state = "interrupted"  # until the user has mended it
                folder.set_status(state, error=str(error))
                raise
            except ProcessLost as error:
                state = "interrupted"
                folder.set_status(state, error=str(error))
                raise
            except Exception as error:
                state = "interrupted" if refused_by_disk(error) else "failed"
                folder.set_status(state, error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
                raise
            finally:
                if not result:
                    with contextlib.suppress(OSError, UserError):  # what ended the run must not be hidden
                        result = summary(records.epochs(), METRICS[config.task.name])
                tracker.finish(result, state)
            return conclude(folder, config)
    except Busy as error:
        return busy(folder, error)
    except ProcessLost as error:
        raise RunFailed(f"{folder.path}: {error}; the same command goes on.", 1, folder, "interrupted") from error
    except OSError as error:
        if not refused_by_disk(error):
            raise
        raise RunFailed(
            f"cannot read or write {error.filename or folder.path}: {error.strerror}. Records written before are "
            "intact; make room or set paths.runs=FOLDER, and the same command goes on.",
            2,
            folder,
            "interrupted",
        ) from error


def follow(composed: DictConfig, overrides: Sequence[str], ranks: Ranks) -> Outcome:
    """What every process but the first does for a run: its share of the training, where the first calls for it.

    Raises what `run` raises.
    """
    config = validate(composed, given_keys(overrides))
    folder = RunFolder(Path(config.paths.runs) / identity(config).folder)
    dataset, machine, task = prepare(config, ranks)
    try:
        if not ranks.called():
            return Outcome("finished", str(folder.path))
        records, nobody, nothing = Records(folder.metrics), Mirrors([]), lambda *_, **__: None
        train(config, task, dataset, machine, folder.path, records, nobody, {}, nothing, nothing)
    except (Diverged, ProcessLost) as error:
        raise RunFailed(str(error), 1, folder, "failed") from error
    except Interrupted as error:
        raise RunFailed(str(error), 130, folder, "interrupted") from error
    return Outcome("finished", str(folder.path))


def prepare(config: Config, ranks: Ranks) -> tuple[Dataset, Machine, Task]:
    """What a run needs before anything is on disk. Raises UserError."""
    dataset = load_dataset(config.data, data_root(config), config.seed)
    check_validation(config, dataset)
    machine = set_up_machine(config.trainer, ranks)
    return dataset, machine, build_task(config, dataset)


def busy(folder: RunFolder, error: Busy) -> Outcome:
    """Say that a run is another process's."""
    print(f"{folder.path}: {error}", flush=True)
    return Outcome("busy", str(folder.path))


def refused_by_disk(error: Exception) -> bool:
    """Whether a disk that is full, read-only or closed to this user is behind an error: nothing wrong with the run."""
    return isinstance(error, OSError) and error.errno in DISK_ERRORS


def earlier_outcome(folder: RunFolder, config: Config) -> Outcome | None:
    """The result of a run that has finished, shown; None where there is something to do.

    Raises RunFailed when it has failed or diverged and nobody asks for a retry: the same command would do the same
    again; UserError when it is half deleted.
    """
    status = folder.status()
    state = recorded_state(folder, status)
    if state == "damaged":
        raise UserError(f"{folder.path}: {damage(folder.path)}")
    if state in NEXT and not config.retry:
        error = first_line(status.get("error") or "without a word")
        raise RunFailed(f"{folder.path}: {state} already, {error}; {NEXT[state]}.", 1, folder, state)
    if state != "done":
        return None
    print(f"{folder.path}: finished already, its diagnostics and tracking as they were; force=true runs it again.")
    return conclude(folder, config)


def conclude(folder: RunFolder, config: Config) -> Outcome:
    """Show a finished run, with its figures drawn where they are wanted and not there yet."""
    if config.diagnostics.figures and not (folder.path / "figures").exists():
        draw_figures(folder)
    return report(folder.path, folder.status(), METRICS[config.task.name])


def draw_figures(folder: RunFolder) -> None:
    """Draw the figures of a finished run, all or none. A failure is a warning: the run is complete without them."""
    fresh, figures = folder.path / ".figures", folder.path / "figures"
    try:
        with folder.locked():
            if not figures.exists():
                shutil.rmtree(fresh, ignore_errors=True)
                draw([read_run(folder.path)], fresh)
                fresh.rename(figures)
    except Busy:
        pass  # the process that finished the run is drawing them
    except Exception as error:
        warnings.warn(
            f"{folder.path}: the run is finished, but its figures could not be drawn "
            f"({type(error).__name__}: {error}). The same command tries again",
            stacklevel=2,
        )


def plain(config: Config) -> dict[str, Any]:
    """The configuration as nested dicts of plain values."""
    content = OmegaConf.to_container(OmegaConf.structured(config), resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
