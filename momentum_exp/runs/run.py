"""One run from its configuration to its records: validate, identify, lock, train, draw."""

import errno
import json
import math
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from momentum_exp.config import Config
from momentum_exp.data import load_dataset
from momentum_exp.files import write_text_whole
from momentum_exp.paper.figures import draw
from momentum_exp.paper.run_record import load_run
from momentum_exp.runs.environment import environment
from momentum_exp.runs.folder import Busy, RunFolder
from momentum_exp.runs.identity import identity
from momentum_exp.tasks import build_task
from momentum_exp.tracking import make_trackers
from momentum_exp.tracking.records import Records
from momentum_exp.tracking.selection import summary
from momentum_exp.training.device import set_up_machine
from momentum_exp.training.interruption import Interrupted
from momentum_exp.training.loop import Diverged, train
from momentum_exp.validation import validate

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EIO)


class RunFailed(Exception):
    """A run that ended early for a reason that needs no traceback."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run(composed: DictConfig, overrides: Sequence[str] = (), *, sweep: bool = False) -> float:
    """Do the run that `composed` describes, unless it is finished already or another process is at it.

    Returns the selection metric: the best validation accuracy, or the final test accuracy where nothing is
    held out. Raises UserError before anything is on disk, RunFailed when training diverged, was interrupted or
    the disk refused.
    """
    given = {override.split("=")[0].lstrip("+~") for override in overrides}
    config = validate(composed, given, sweep=sweep)
    me = identity(config)
    folder = RunFolder(Path(config.paths.runs) / me.folder)
    if not config.force and (score := earlier_result(folder)) is not None:
        return score
    data = config.data
    dataset = load_dataset(
        data.name,
        root=Path(data.root or config.paths.data),
        permutation=data.permutation,
        validation=data.validation,
        limit=data.limit,
        run_seed=config.seed,
    )
    machine = set_up_machine(config.trainer)
    task = build_task(config, dataset)
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
    try:
        with folder.locked():
            if config.force:
                folder.clear()
            elif (score := earlier_result(folder)) is not None:  # of a process that was at it until now
                return score
            folder.sweep_up()
            parameters = sum(p.numel() for p in task.parameters())
            facts = environment(machine, parameters)
            folder.describe(config, me, list(overrides))
            write_text_whole(folder.path / "environment.json", json.dumps(facts, indent=1) + "\n")
            folder.set_status("running", parameters=parameters)
            records = Records(folder.metrics)
            state, result = "failed", {}
            try:
                train(config, task, dataset, machine, folder, records, trackers)
                state = "finished"
            except Diverged as error:
                state = "diverged"
                folder.set_status(state, error=str(error))
                raise RunFailed(f"{folder.path}: diverged at {error}. The records are kept.", 1) from error
            except (Interrupted, KeyboardInterrupt) as error:
                state = "interrupted"
                folder.set_status(state)
                where = f" {error}" if str(error) else ""
                raise RunFailed(f"{folder.path}: interrupted{where}; the same command goes on.", 130) from error
            except Exception as error:
                folder.set_status(state, error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
                raise
            finally:
                result = summary([r for r in records.read() if r["kind"] == "epoch"])
                for tracker in trackers:
                    tracker.finish(result, state)
            folder.set_status("finished", summary=result)
            if config.diagnostics.figures:
                draw([load_run(folder.path)], folder.path / "figures")
            return report(folder.status(), folder)
    except Busy:
        print(f"{folder.path}: another process is at this run; nothing to do here.")
        return math.nan
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise RunFailed(
            f"cannot write {error.filename or folder.path}: {error.strerror}. Records written before are intact; "
            "make room or set paths.runs=FOLDER, and the same command goes on.",
            2,
        ) from error


def earlier_result(folder: RunFolder) -> float | None:
    """The result of a run that has finished, shown; None where there is something to do.

    Raises RunFailed when it has diverged: the same command would do the same again.
    """
    status = folder.status()
    if status.get("state") == "diverged":
        raise RunFailed(f"{folder.path}: diverged already at {status['error']}; force=true runs it again.", 1)
    if status.get("state") != "finished":
        return None
    print(f"{folder.path}: finished already; force=true runs it again.")
    return report(status, folder)


def plain(config: Config) -> dict[str, Any]:
    """The configuration as nested dicts of plain values."""
    content = OmegaConf.to_container(OmegaConf.structured(config), resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def report(status: dict[str, Any], folder: RunFolder) -> float:
    """Print the metrics under every selection rule; return the one to select by."""
    chosen = status.get("summary") or {}
    for rule, metrics in chosen.items():
        if metrics:
            print(
                f"  {rule:9} test accuracy {100 * metrics['test_accuracy']:.2f}%  test loss {metrics['test_loss']:.4f}"
                f"  (epoch {metrics['epoch']}, {metrics['chosen']})"
            )
        else:
            print(f"  {rule:9} --  (no validation rows: data.validation holds some out)")
    print(f"  records   {folder.path}")
    if best := chosen.get("best_val"):
        return float(best["val_accuracy"])
    return float((chosen.get("final") or {}).get("test_accuracy", math.nan))
