"""Runs that end badly: what they say, what they leave, and what the same command does next."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from momentum_exp.errors import UserError
from momentum_exp.paper.run_record import load_run
from momentum_exp.runs import run as run_module
from momentum_exp.runs.run import RunFailed
from momentum_exp.training import loop

SHORT = ("trainer.epochs=3", "trainer.log_every=1", "diagnostics.every=2", "diagnostics.figures=false")
TRACES_ONLY = ("diagnostics.every=1", "diagnostics.gate_saturation=false", "diagnostics.parameter_norms=false")
DIVERGING = (*SHORT, "optimizer=sgd", "optimizer.lr=1e38", "trainer.clip_norm=null")


def test_a_run_that_diverges_says_where_and_keeps_its_records(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs.folder(*DIVERGING)
    with pytest.raises(RunFailed, match=r"diverged at step \d+: loss .*The records are kept\.$") as failure:
        runs.run(*DIVERGING)
    assert failure.value.exit_code == 1
    status = runs.status(folder)
    assert status["state"] == "diverged"
    steps = [record for record in runs.records(folder) if record["kind"] == "step"]
    assert steps
    step, norm = steps[-1]["step"] + 1, steps[-1]["grad_norm"]
    assert status["error"].startswith(f"step {step}: loss ")
    assert "learning rate 1e+38" in status["error"]
    assert status["error"].endswith(f"gradient norm one step earlier {norm:.4g}")
    assert load_run(folder)

    monkeypatch.setattr(run_module, "train", None)
    with pytest.raises(RunFailed, match=r"diverged already at step .* force=true runs it again") as failure:
        runs.run(*DIVERGING)
    assert failure.value.exit_code == 1


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_spoils_the_weights(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = iter([1.0, 2.5, float("inf")])
    monkeypatch.setattr(loop, "clip_grad_norm_", lambda *_: torch.tensor(next(norms)))
    with pytest.raises(RunFailed, match=r"diverged at step 3: loss \d\.\d+, gradient norm inf, .* earlier 2\.5\."):
        runs.run(*SHORT)


@pytest.mark.parametrize(
    ("limit", "overrides", "refused"),
    [
        (4000, (), "append_line"),
        (6000, ("trainer.checkpoint_seconds=0",), "save_checkpoint"),
        (13000, ("trainer.checkpoint_seconds=0", *TRACES_ONLY), "save"),
    ],
)
def test_a_full_disk_is_said_and_costs_nothing_that_was_written(
    runs: Any, tmp_path: Path, limit: int, overrides: tuple[str, ...], refused: str
) -> None:
    """A limit on the size of files stands for the full disk: writing beyond it fails in the same way."""
    overrides = (*SHORT, "trainer.epochs=9", *overrides)
    folder = runs.folder(*overrides)
    done = subprocess.run(
        [sys.executable, "-m", "momentum_exp", *runs.arguments(*overrides)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"momentum_exp: cannot write {folder}")
    assert "paths.runs=FOLDER" in said
    kept = runs.records(folder)
    assert kept
    assert runs.status(folder)["state"] == "failed"
    assert f"in {refused}\n" in runs.status(folder)["traceback"]

    runs.run(*overrides)
    other = type(runs)(tmp_path / "undisturbed")
    other.run(*overrides)
    assert runs.outcome(folder) == other.outcome(other.folder(*overrides))
    assert runs.records(folder)[: len(kept)] == kept


@pytest.mark.parametrize("where", ["file/below", "/proc/below"])
def test_a_run_folder_that_cannot_be_made_is_the_users_to_mend(runs: Any, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    unwritable = type(runs)(tmp_path / where)
    with pytest.raises(UserError, match=r"cannot write the run folder .*below.* paths\.runs=FOLDER"):
        unwritable.run(*SHORT)


def test_a_run_folder_that_cannot_be_read_is_the_users_to_mend(runs: Any) -> None:
    (runs.folder(*SHORT) / "status.json").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot read .*status\.json: Is a directory.* paths\.runs=FOLDER"):
        runs.run(*SHORT)


def test_a_defect_of_ours_keeps_its_traceback_and_the_next_command_goes_on(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(*_: Any) -> None:
        raise ZeroDivisionError("ours")

    with monkeypatch.context() as patched:
        patched.setattr(loop, "evaluate", evaluate)
        with pytest.raises(ZeroDivisionError):
            runs.run(*SHORT)
    status = runs.status(runs.folder(*SHORT))
    assert (status["state"], status["error"]) == ("failed", "ZeroDivisionError: ours")
    assert "in evaluate" in status["traceback"]
    runs.run(*SHORT)
    status = runs.status(runs.folder(*SHORT))
    assert status["state"] == "finished"
    assert not {"error", "traceback"} & set(status)
