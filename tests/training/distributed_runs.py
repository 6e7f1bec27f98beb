"""Tiny runs by torchrun and in the test's own process, and whether two have the same records."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from momentum_exp.command_line import conf_dir, register_resolvers
from momentum_exp.config import register
from momentum_exp.runs.run import run

ALL = ("trainer=cpu", "trainer.threads=1", "trainer.log_every=1", "diagnostics.every=2", "diagnostics.figures=false")
TIMES = ("seconds", "eval_seconds")


def torchrun(*arguments: str, processes: int, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """A nested record as one mapping from places to values, times left out."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() if key not in TIMES for k, v in flat(item, f"{name}/{key}").items()}
    if isinstance(value, list):
        return {k: v for place, item in enumerate(value) for k, v in flat(item, f"{name}/{place}").items()}
    return {name: value}


def records(folder: Path) -> dict[str, Any]:
    return flat([json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()])


def assert_alike(one: Path, other: Path, rtol: float) -> None:
    """The same records, their numbers within a tolerance."""
    found, expected = records(one), records(other)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, str) or value is None:
            assert found[key] == value, key
        else:
            np.testing.assert_allclose(found[key], value, rtol, atol=1e-5, err_msg=f"{other} {key}")


def folder_of(root: Path) -> Path:
    (folder,) = (path for path in root.iterdir() if path.is_dir())
    return folder


def run_here(*overrides: str) -> None:
    register()
    register_resolvers()
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            run(compose("config", overrides=list(overrides)), overrides)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
