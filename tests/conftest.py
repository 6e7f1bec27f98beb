"""Fixtures that several tests share: the command line as a real subprocess, and the real MNIST."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from corpora import all_speakers, write_speech, write_timit, write_timit_sample

from momentum_exp.data import ptb

REPOSITORY = Path(__file__).resolve().parents[1]
CommandLine = Callable[..., subprocess.CompletedProcess[str]]


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
def mnist_root() -> Path:
    """The folder that holds the real MNIST; skips where there is none."""
    for root in (os.environ.get("MOMENTUM_EXP_DATA"), REPOSITORY.parent / "shared" / "data"):
        if root and (Path(root) / "MNIST" / "raw").is_dir():
            return Path(root).resolve()
    pytest.skip("no real MNIST here (set MOMENTUM_EXP_DATA)")
