"""A tuning command over tiny runs, in the test's process or in its own, and the trials of its study."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from momentum_exp.runs.folder import RunFolder
from momentum_exp.tune.options import read_command
from momentum_exp.tune.tuning import tune

TINY = ("trainer=cpu", "trainer.threads=1", "cell.hidden_size=4", "trainer.batch_size=8", "data.limit=24")
SHORT = ("trainer.epochs=2", "diagnostics=none", "diagnostics.figures=false", "sampler_seed=1")
SPACE = ("cell.mu=interval(0,0.9)", "optimizer.lr=tag(log,interval(1e-3,0.5))")


class Tuning:
    """One tuning command, in this process or in its own, and the trials of its study."""

    def __init__(self, root: Path, *overrides: str) -> None:
        self.root, self.overrides = root, [*TINY, *SHORT, *overrides, f"paths.runs={root}"]

    def do(self, *more: str) -> bool:
        return tune(read_command([*self.overrides, *more]))

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "momentum_exp.tune", *self.overrides],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def trials(self) -> list[FrozenTrial]:
        (file,) = (self.root / "tune").glob("*/study.db")
        return optuna.load_study(study_name=file.parent.name, storage=f"sqlite:///{file}").get_trials()

    def wait_for_run(self, number: int, process: subprocess.Popen[str]) -> None:
        """Until the process is in the steps of the study's run of that number, counted from 1."""
        for _ in range(6000):
            statuses = [RunFolder(path).status() for path in self.root.glob("digits-*")]
            if len(statuses) == number and all("step" in status for status in statuses):
                return
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        raise AssertionError("waited two minutes in vain")


def tried(trials: list[FrozenTrial]) -> list[Any]:
    """What two equal studies share."""
    return [(t.number, t.state, t.params, t.value, t.intermediate_values, t.user_attrs.get("state")) for t in trials]
