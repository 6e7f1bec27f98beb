"""One run as its folder tells it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS, Metric
from momentum_exp.tracking.records import read_records
from momentum_exp.tracking.run_folders import folders_with

IDENTITY = ("hash", "group", "name", "cell", "data")
CONFIG = ("cell", "data", "seed")


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds, apart from its arrays.

    `identity` has `hash`, `group` (the hash without the seed), `name`, `cell` and `data`; `config` is the
    resolved configuration; `status` has `state` and `summary`; `steps` and `epochs` are the records of these
    kinds in order (tracking/records.py; in which units, the task's `metric` says).
    """

    path: Path
    identity: dict[str, str]
    config: dict[str, Any]
    status: dict[str, Any]
    steps: list[dict[str, Any]]
    epochs: list[dict[str, Any]]

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def metric(self) -> Metric:
        """What the run's task is judged by."""
        return METRICS[self.config.get("task", {}).get("name", "classification")]

    @property
    def baselines(self) -> dict[str, float]:
        """Losses that take no training, by whose they are."""
        return self.status.get("baselines") or {}

    @property
    def environments(self) -> list[dict[str, Any]]:
        """What each process ran on that was at the run (runs/environment.py); empty where that is not there.

        Raises UserError where the file is damaged.
        """
        path = self.path / "environment.json"
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); run it again with force=true") from error
        processes = content if isinstance(content, list) else [content]
        if not all(isinstance(process, dict) for process in processes):
            raise UserError(f"{path} is damaged (it has to have objects); run it again with force=true")
        return processes

    @property
    def diagnostics(self) -> Path:
        """The file of gradient norms through time; it need not exist."""
        return self.path / "diagnostics.npz"


def read_run(path: Path) -> RunRecord:
    """The run in folder `path`. Raises UserError where a file is missing, damaged or cut off."""
    try:
        status, metrics = _object(path / "status.json"), path / "metrics.jsonl"
        nothing_yet = status.get("state") != "finished" and not metrics.exists()  # it diverged before its first record
        records = [] if nothing_yet else read_records(metrics)
        epochs = [record for record in records if record["kind"] == "epoch"]
        _make_sure_of_the_end(metrics, epochs, status)
        return RunRecord(
            path=path,
            identity=_having(IDENTITY, path / "identity.json", _object(path / "identity.json")),
            config=_having(CONFIG, path / ".hydra" / "config.yaml", _yaml(path / ".hydra" / "config.yaml")),
            status=status,
            steps=[record for record in records if record["kind"] == "step"],
            epochs=epochs,
        )
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is not a complete run folder: {error.filename} is missing; "
            "run it again with force=true, or remove the folder"
        ) from error
    except OSError as error:
        raise UserError(f"{error.filename or path} can't be read: {error.strerror}") from error


def finished_runs(folder: Path) -> tuple[list[RunRecord], Counter[str]]:
    """Every finished run at or below `folder` once, in the order of their paths, and how many others are what.

    Of several folders of one run the one nearest to `folder` counts, the others are copies. Raises UserError where
    there is none, or one is damaged.
    """
    runs: dict[str, RunRecord] = {}
    others: Counter[str] = Counter()
    for path in folders_with(("status.json",), folder):
        state = _object(path / "status.json").get("state")
        if state != "finished":
            others[str(state)] += 1
        elif (run := read_run(path)) is not runs.setdefault(run.identity["hash"], run):
            others["copies of runs that are counted"] += 1
    if not runs:
        raise UserError(
            f"no finished run under {folder} ({others.total()} unfinished): name a folder that has finished runs"
        )
    return sorted(runs.values(), key=lambda run: run.path), others


def _make_sure_of_the_end(metrics: Path, epochs: Sequence[dict[str, Any]], status: dict[str, Any]) -> None:
    """Raise UserError where the last epoch that a finished run's status tells of is not the last that was recorded."""
    told = ((status.get("summary") or {}).get("final") or {}).get("epoch")
    found = epochs[-1].get("epoch") if epochs else None
    if told is not None and found != told:
        raise UserError(
            f"{metrics} is cut off: its last epoch is {found}, that of status.json {told}; run it again with force=true"
        )


def _having(keys: Sequence[str], path: Path, content: Any) -> dict[str, Any]:
    """The content of file `path`, if it is a mapping with these keys."""
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise UserError(f"{path} is damaged (it has to have {', '.join(keys)}); run it again with force=true")
    return content


def _yaml(path: Path) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        why = " ".join(str(error).split())
        raise UserError(f"{path} is damaged ({why}); run it again with force=true") from error


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); run it again with force=true") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged (no JSON object); run it again with force=true")
    return content
