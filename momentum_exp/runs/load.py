"""A run as Python has it: its model with the trained weights, its configuration, its records."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from momentum_exp.config import Config
from momentum_exp.errors import UserError
from momentum_exp.runs.find import find_run
from momentum_exp.tasks import Task, rebuild_task
from momentum_exp.tracking.run_record import RunRecord, read_run
from momentum_exp.training.checkpoint import CURRENT, PREVIOUS, CorruptCheckpoint, read_checkpoint
from momentum_exp.training.optimizers import build_optimizer


@dataclass(frozen=True)
class LoadedRun:
    """`model` as it was evaluated last, on the CPU, in evaluation mode; `weights` says which weights these are.

    `config` is the run's resolved configuration, `metrics` its metrics by selection rule (None: not measured),
    in the records' units; `record` holds the records themselves (`steps`, `epochs`).
    """

    path: Path
    model: Task
    weights: str
    config: Config
    record: RunRecord

    @property
    def metrics(self) -> dict[str, Any]:
        """Metrics of the chosen epoch under each selection rule; empty for a run that has not finished."""
        return dict(self.record.status.get("summary") or {})


def load_run(run: str | Path, runs: str | Path = "runs") -> LoadedRun:
    """The run in the folder `run`, or of this name (with or without its hash) below the folder `runs`.

    Its data are not needed, and nothing of it is executed: weights are read as plain tensors. A run that has not
    finished comes with its last checkpoint. Raises UserError for a run that there is not, that is half deleted, or
    whose configuration is of another version.
    """
    path = find_run(str(run), Path(runs))
    record = read_run(path)
    config = typed_config(record)
    model, weights = trained_model(record, config)
    return LoadedRun(path, model, weights, config, record)


def typed_config(record: RunRecord) -> Config:
    """The run's configuration in the present schema. Raises UserError where a key or value is not in it."""
    try:
        return cast(Config, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), record.config)))
    except OmegaConfBaseException as error:
        why = str(error).partition("\n")[0]
        raise UserError(
            f"{record.path}: its configuration is of another version of momentum_exp: {why}. "
            "environment.json names the commit that it was made with"
        ) from error


def trained_model(record: RunRecord, config: Config) -> tuple[Task, str]:
    """The model as it was evaluated last, in evaluation mode, and which weights these are.

    Its engine is the fastest for this machine: the run's own need not exist here. Raises UserError for a checkpoint
    that is missing, can't be read, or does not fit the configuration.
    """
    path = record.path
    names = [CURRENT] if record.status.get("state") == "finished" else [CURRENT, PREVIOUS]
    file = next((path / name for name in names if (path / name).exists()), path / CURRENT)
    try:
        saved = read_checkpoint(file)
    except (OSError, CorruptCheckpoint) as error:
        raise UserError(f"{path}: its weights can't be read ({error}); run it again with force=true") from error
    config = copy.deepcopy(config)
    config.cell.engine = "auto"
    try:
        model = rebuild_task(config, saved["model"])
        optimizer = build_optimizer(model, config.optimizer)
        optimizer.load_state_dict(saved["optimizer"])
    except (KeyError, RuntimeError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise UserError(f"{path}: its checkpoint does not fit its configuration in this version: {why}") from error
    which = f"final weights, step {saved['progress']['step']}"
    if record.status.get("state") != "finished":
        which = f"weights of an unfinished run, step {saved['progress']['step']}"
    if steps := optimizer.facts().get("averaged_steps"):
        which += f", averaged over {steps} steps"
    with optimizer.averaged():
        model = copy.deepcopy(model)
    return model.eval(), which
