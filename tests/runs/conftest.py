"""Runs inside the test's own process, and what is compared between two of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from momentum_exp.command_line import conf_dir, register_resolvers
from momentum_exp.config import register
from momentum_exp.runs.identity import identity
from momentum_exp.runs.run import run
from momentum_exp.validation import validate

TINY = ("trainer=cpu", "trainer.threads=1", "cell.hidden_size=4", "trainer.batch_size=8", "data.limit=20")
TIMES = ("seconds", "eval_seconds")


class Runs:
    """Tiny runs under one folder, each named by its overrides."""

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
            "optimizer": {
                f"{index}.{name}": torch.as_tensor(value).numpy().tobytes()
                for index, state in checkpoint["optimizer"]["state"].items()
                for name, value in state.items()
            },
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
