"""Fixtures that several tests share: the command line as a real subprocess, and the real MNIST."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds the real MNIST; skips where there is none."""
    for root in (os.environ.get("MOMENTUM_EXP_DATA"), REPOSITORY.parent / "shared" / "data"):
        if root and (Path(root) / "MNIST" / "raw").is_dir():
            return Path(root).resolve()
    pytest.skip("no real MNIST here (set MOMENTUM_EXP_DATA)")
