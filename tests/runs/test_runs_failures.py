"""Runs that end badly: what they say, what they leave, and what the same command does next."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from momentum_exp.errors import UserError
from momentum_exp.runs import run as run_module
from momentum_exp.runs.run import RunFailed
from momentum_exp.tracking.run_record import read_run
from momentum_exp.training import loop

SHORT = ("trainer.epochs=3", "trainer.log_every=1", "diagnostics.every=2", "diagnostics.figures=false")
TRACES_ONLY = ("diagnostics.every=1", "diagnostics.gate_saturation=false", "diagnostics.parameter_norms=false")
DIVERGING = (*SHORT, "optimizer=sgd", "optimizer.lr=1e38", "trainer.clip_norm=null", "trainer.batch_size=2")


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
    assert read_run(folder)

    monkeypatch.setattr(run_module, "train", None)
    with pytest.raises(RunFailed, match=r"diverged already, step .* retry=true starts it again") as failure:
        runs.run(*DIVERGING)
    assert failure.value.exit_code == 1


def test_a_retry_of_a_diverged_run_starts_anew(runs: Any, uninterrupted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = iter([1.0, float("inf")])
    with monkeypatch.context() as patched:
        patched.setattr(loop, "clip_grad_norm_", lambda *_: torch.tensor(next(norms)))
        with pytest.raises(RunFailed, match="diverged at step 2"):
            runs.run(*SHORT, runs.OFTEN)
    assert runs.folder(*SHORT) == runs.folder(*SHORT, "retry=true")
    runs.run(*SHORT, "retry=true")
    assert runs.outcome(runs.folder(*SHORT)) == uninterrupted(*SHORT)


@pytest.mark.parametrize("gone", ["metrics.jsonl", "identity.json", ".hydra/config.yaml", "status.json"])
def test_a_finished_run_that_is_half_deleted_is_the_users_to_mend(runs: Any, gone: str) -> None:
    runs.run(*SHORT)
    for checkpoint in runs.folder(*SHORT).glob("checkpoint*"):
        checkpoint.unlink()
    (runs.folder(*SHORT) / gone).unlink()
    with pytest.raises(UserError, match=rf"half deleted: {gone} missing; force=true runs it again"):
        runs.run(*SHORT)
    assert runs.run(*SHORT, "force=true") >= 0


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_spoils_the_weights(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = iter([1.0, 2.5, float("inf")])
    monkeypatch.setattr(loop, "clip_grad_norm_", lambda *_: torch.tensor(next(norms)))
    with pytest.raises(RunFailed, match=r"diverged at step 3: loss \d\.\d+, gradient norm inf, .* earlier 2\.5\."):
        runs.run(*SHORT)


def test_what_was_measured_before_it_diverges_is_kept(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = (*SHORT[:1], "trainer.log_every=100", "diagnostics.every=2", "diagnostics.figures=false")
    norms = iter([1.0, 3.0, float("inf")])
    monkeypatch.setattr(loop, "clip_grad_norm_", lambda *_: torch.tensor(next(norms)))
    with pytest.raises(RunFailed, match="diverged at step 3: "):
        runs.run(*overrides)
    folder = runs.folder(*overrides)
    (step,) = (record for record in runs.records(folder) if record["kind"] == "step")
    assert (step["step"], step["epoch"], step["grad_norm"]) == (2, 1, 2.0)
    assert np.load(folder / "diagnostics.npz")["step"].tolist() == [1, 3]


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_loss_that_is_not_finite_at_an_epochs_end_is_recorded_and_ends_the_run(
    runs: Any, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    evaluate = loop.evaluate

    def spoiled(*arguments: Any) -> dict[str, float]:
        measured = evaluate(*arguments)
        return measured | {key: float("nan") for key in measured if key == f"{split}_loss"}

    monkeypatch.setattr(loop, "evaluate", spoiled)
    with pytest.raises(RunFailed, match=rf"diverged at step 3: {split}_loss nan, learning rate 0\.\d+, last gradient"):
        runs.run(*SHORT)
    folder = runs.folder(*SHORT)
    assert runs.status(folder)["state"] == "diverged"
    (epoch,) = (record for record in runs.records(folder) if record["kind"] == "epoch")
    assert epoch[f"{split}_loss"] is None
    assert 0 <= epoch["test_accuracy"] <= 1


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        told: ClassVar[list[str]] = []

        def start(self, total_steps: int, done_steps: int) -> None:
            self.told.append("start")

        def record(self, record: Any) -> None:
            self.told.append("record")
            raise ConnectionError("gone")

        def finish(self, summary: Any, state: str) -> None:
            self.told.append(runs.status(runs.folder(*SHORT))["state"])
            raise ConnectionError("gone")

    monkeypatch.setattr(run_module, "make_trackers", lambda *_, **__: [Broken()])
    with pytest.warns(UserWarning, match=r"Broken failed and is left out .*\(ConnectionError: gone\)") as warned:
        assert 0 <= runs.run(*SHORT) <= 1
    assert len(warned) == 1
    assert Broken.told == ["start", "record", "finished"]
    assert runs.status(runs.folder(*SHORT))["state"] == "finished"


def test_a_mistake_found_after_the_start_leaves_its_message_alone(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: Any) -> None:
        raise UserError("write something else")

    monkeypatch.setattr(run_module.Mirrors, "start", start)
    with pytest.raises(UserError):
        runs.run(*SHORT)
    status = runs.status(runs.folder(*SHORT))
    assert (status["state"], status["error"]) == ("interrupted", "write something else")
    assert "traceback" not in status


@pytest.mark.parametrize(
    ("limit", "overrides", "refused"),
    [
        (4000, (), "append_line"),
        (6000, ("trainer.checkpoint_seconds=0",), "save_checkpoint"),
        (14000, ("trainer.checkpoint_seconds=0", *TRACES_ONLY), "save"),
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
    assert said.startswith(f"momentum_exp: cannot read or write {folder}")
    assert "paths.runs=FOLDER" in said
    kept = runs.records(folder)
    assert kept
    assert runs.status(folder)["state"] == "interrupted"
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


def test_a_defect_of_ours_keeps_its_traceback_and_a_retry_goes_on(
    runs: Any, uninterrupted: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(*_: Any) -> None:
        raise ZeroDivisionError("ours\nmore of it")

    with monkeypatch.context() as patched:
        patched.setattr(loop, "evaluate", evaluate)
        with pytest.raises(ZeroDivisionError):
            runs.run(*SHORT, runs.OFTEN)
    status = runs.status(runs.folder(*SHORT))
    assert (status["state"], status["error"]) == ("failed", "ZeroDivisionError: ours\nmore of it")
    assert "in evaluate" in status["traceback"]
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "train", None)
        with pytest.raises(RunFailed, match=r"failed already, ZeroDivisionError: ours; retry=true goes on") as failure:
            runs.run(*SHORT)
    assert (failure.value.exit_code, failure.value.outcome.state) == (1, "failed")
    capsys.readouterr()
    runs.run(*SHORT, "retry=true")
    assert "Resuming after step 3." in capsys.readouterr().out
    assert runs.outcome(runs.folder(*SHORT)) == uninterrupted(*SHORT)
    status = runs.status(runs.folder(*SHORT))
    assert status["state"] == "finished"
    assert not {"error", "traceback"} & set(status)
