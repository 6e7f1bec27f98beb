"""Synthetic run folders, written as a run writes them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from momentum_exp.paper.curves import MODELS, PROTOCOL, SETTINGS
from momentum_exp.paper.study import Planned
from momentum_exp.runs.folder import RunFolder
from momentum_exp.tracking.records import Records

MakeRun = Callable[..., Path]
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


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A function that writes a finished run with the given losses, and accuracies for classification, by epoch."""

    def make(
        cell: str = "lstm",
        seed: int = 0,
        *,
        dynamics: str = "identity",
        data: str = "pdigits",
        hidden_size: int = 8,
        mu: float | None = None,
        accuracies: Sequence[float] = (0.5, 0.75),
        val_accuracies: Sequence[float] | None = None,
        losses: Sequence[float] | None = None,
        state: str = "finished",
        gradients: dict[str, Any] | None = None,
        steps_per_epoch: int = 4,
        task: str = "classification",
        baselines: dict[str, float] | None = None,
        root: Path = tmp_path / "runs",
    ) -> Path:
        group = f"{data}-{cell}-n{hidden_size}-mu{mu}"
        path = root / f"{group}-seed{seed}"
        (path / ".hydra").mkdir(parents=True)
        config: dict[str, Any] = {
            "cell": {"dynamics": dynamics, "hidden_size": hidden_size, **({} if mu is None else {"mu": mu})},
            "data": {"name": data.removeprefix("p")},
            "task": {"name": task},
            "seed": seed,
        }
        if data == "pmnist":
            for key, value in (
                PROTOCOL | SETTINGS.get(MODELS.get(cell, ""), {}) | {"cell.hidden_size": hidden_size}
            ).items():
                group_name, name = key.split(".")
                config.setdefault(group_name, {}).setdefault(name, value)
        OmegaConf.save(OmegaConf.create(config), path / ".hydra" / "config.yaml")
        identity = {"hash": f"{group}-{seed}", "group": group, "name": path.name, "cell": cell, "data": data}
        (path / "identity.json").write_text(json.dumps(identity))
        status = {"state": state, "parameters": 12345}
        (path / "status.json").write_text(json.dumps(status | ({"baselines": baselines} if baselines else {})))
        records = Records(path / "metrics.jsonl")
        losses = losses or [2.0 / (epoch + 1) for epoch in range(len(accuracies))]
        for epoch, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), start=1):
            for step in range((epoch - 1) * steps_per_epoch + 1, epoch * steps_per_epoch + 1):
                records.append({"kind": "step", "step": step, "epoch": epoch, "train_loss": 2.3 / step + 0.1 * seed})
            record = {"kind": "epoch", "epoch": epoch, "step": epoch * steps_per_epoch, "test_loss": loss}
            if val_accuracies:
                record["val_accuracy"] = val_accuracies[epoch - 1]
            records.append(record | ({"test_accuracy": accuracy} if task == "classification" else {"val_loss": loss}))
        if gradients is not None:
            np.savez(path / "diagnostics.npz", **gradients)
        return path

    return make
