"""Runs inside the test's own process or one of their own, and what is compared between two of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from momentum_exp.command_line import conf_dir, register_resolvers
from momentum_exp.config import register
from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.identity import identity
from momentum_exp.runs.run import run
from momentum_exp.training import loop
from momentum_exp.validation import validate

TINY = ("trainer=cpu", "trainer.threads=1", "cell.hidden_size=4", "trainer.batch_size=8", "data.limit=20")
TIMES = ("seconds", "eval_seconds")


def plain(value: Any) -> Any:
    """A nested structure with bytes for tensors, so that equal means bit for bit."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


class Runs:
    """Tiny runs under one folder, each named by its overrides; `OFTEN`: a checkpoint after every step."""

    OFTEN = "trainer.checkpoint_seconds=0"
    SHORT = ("trainer.max_steps=5", "trainer.log_every=2", "diagnostics.every=2", "diagnostics.figures=false")
    LONG = ("trainer.epochs=20", "trainer.log_every=7", "diagnostics.every=4", "diagnostics.figures=false", OFTEN)

    class Killed(BaseException):
        """Stands for a kill where a real one would not land at the wanted place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def arguments(self, *overrides: str) -> list[str]:
        """The run as the command line takes it."""
        return [*TINY, *overrides, f"paths.runs={self.root}"]

    def composed(self, *overrides: str) -> DictConfig:
        register()
        register_resolvers()
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            return compose("config", overrides=self.arguments(*overrides))

    def folder(self, *overrides: str) -> Path:
        """Where the run lies or will lie."""
        return self.root / identity(validate(self.composed(*overrides))).folder

    def run(self, *overrides: str, sweep: bool = False) -> float:
        return run(self.composed(*overrides), self.arguments(*overrides), sweep=sweep).metric

    def start(self, *overrides: str) -> subprocess.Popen[str]:
        """The run in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "momentum_exp", *self.arguments(*overrides)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Until `condition` holds; fails when the process ends before."""
        until = time.monotonic() + 180
        while time.monotonic() < until:
            if condition():
                return
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        raise AssertionError("waited three minutes in vain")

    @staticmethod
    def steps_done(folder: Path) -> int:
        try:
            return int(RunFolder(folder).status().get("step", 0))
        except FileNotFoundError:
            return 0

    @staticmethod
    def status(folder: Path) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((folder / "status.json").read_text())
        return content

    @staticmethod
    def records(folder: Path) -> list[dict[str, Any]]:
        """The records of a run without the times."""
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]

    @classmethod
    def outcome(cls, folder: Path) -> dict[str, Any]:
        """All that two equal runs share bit for bit: records, weights, optimizer state, diagnostics."""
        checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
        with np.load(folder / "diagnostics.npz") as arrays:
            measured = {name: arrays[name].tobytes() for name in arrays.files}
        return {
            "records": cls.records(folder),
            "model": {name: tensor.numpy().tobytes() for name, tensor in checkpoint["model"].items()},
            "optimizer": plain(checkpoint["optimizer"]),
            "rng": checkpoint["rng"].numpy().tobytes(),
            "diagnostics": measured,
            "summary": {
                rule: chosen and {k: v for k, v in chosen.items() if k not in TIMES}
                for rule, chosen in cls.status(folder)["summary"].items()
            },
        }


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Runs under the test's folder; torch's process-wide switches are given back afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield Runs(tmp_path / "runs")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def uninterrupted(runs: Runs, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The outcome of a run that nothing disturbs, made in another folder."""
    other = Runs(tmp_path / "undisturbed")

    def outcome(*overrides: str) -> dict[str, Any]:
        other.run(*overrides)
        return other.outcome(other.folder(*overrides))

    return outcome


@pytest.fixture
def killed(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The folder of a run that is killed after its third checkpoint; the one of step 2 lies beside it."""

    def save(folder: Path, content: dict[str, Any]) -> None:
        saved(folder, content)
        if content["progress"]["step"] == 3:
            raise runs.Killed

    def folder(*overrides: str) -> Path:
        with monkeypatch.context() as patched:
            patched.setattr(loop, "save_checkpoint", save)
            with pytest.raises(runs.Killed):
                runs.run(*overrides, runs.OFTEN)
        return runs.folder(*overrides)

    saved = loop.save_checkpoint
    return folder


@pytest.fixture
def half_done(runs: Runs, killed: Callable[..., Path]) -> Path:
    """The folder of a SHORT run that is killed half way."""
    return killed(*runs.SHORT)
