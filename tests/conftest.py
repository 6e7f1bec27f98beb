"""Fixtures that several tests share: the command line as a real subprocess, and real data."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import all_speakers, write_speech, write_timit, write_timit_sample
from omegaconf import OmegaConf

from momentum_exp.data import ptb
from momentum_exp.tracking.records import Records

REPOSITORY = Path(__file__).resolve().parents[1]
CommandLine = Callable[..., subprocess.CompletedProcess[str]]
MakeRun = Callable[..., Path]


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    """`command_line("cell=lstm", ..)` runs `python -m momentum_exp ..` in an empty folder."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "momentum_exp", *arguments],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )

    return call


@pytest.fixture
def ptb_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small text of our own in Penn Treebank's place: 12 words, 13 types; counts made to fit."""
    folder = tmp_path / "texts" / "ptb"
    folder.mkdir(parents=True)
    sizes = {"ptb.train.txt": 90, "ptb.valid.txt": 20, "ptb.test.txt": 15}
    counts = {}
    for name, lines in sizes.items():
        words = [[f"w{(i * j + i + j) % 12}" for j in range(3 + i % 5)] for i in range(lines)]
        (folder / name).write_text("".join(f" {' '.join(line)} \n" for line in words))
        counts[name] = sum(len(line) + 1 for line in words)
    monkeypatch.setattr(ptb, "TOKENS", counts)
    monkeypatch.setattr(ptb, "TYPES", 13)
    checksums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sizes}
    monkeypatch.setattr(ptb, "SHA256", checksums)
    return folder.parent


@pytest.fixture(scope="session")
def speech_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data with synthetic stand-ins for `timit` (whole), `timit_sample` and `speech`."""
    root = tmp_path_factory.mktemp("data")
    write_timit(root / "timit", all_speakers())
    write_timit_sample(root / "timit_sample")
    write_speech(root / "speech")
    return root


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data("MNIST/raw")` is the folder of data that holds the real one; skips where none does."""

    def find(wanted: str) -> Path:
        for root in (os.environ.get("MOMENTUM_EXP_DATA"), REPOSITORY.parent / "shared" / "data"):
            if root and (Path(root) / wanted).is_dir():
                return Path(root).resolve()
        pytest.skip(f"no {wanted} in a folder of data here (set MOMENTUM_EXP_DATA)")

    return find


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
