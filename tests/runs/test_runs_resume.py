"""A run that is killed or interrupted goes on and ends as if nothing had been, and says what is not as before."""

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from momentum_exp.runs import run as run_module
from momentum_exp.runs.run import RunFailed
from momentum_exp.training import loop

DROPOUT = ("cell.num_layers=2", "cell.dropout=0.5", "optimizer=adam")


@pytest.mark.parametrize("cell", [(), DROPOUT], ids=["momentumlstm", "dropout-adam"])
def test_killed_at_any_moment_a_run_ends_bit_identical(
    runs: Any, uninterrupted: Callable[..., dict[str, Any]], cell: tuple[str, ...]
) -> None:
    overrides = (*runs.LONG, *cell)
    folder, moments, before = runs.folder(*overrides), random.Random(len(cell)), 0
    for _ in range(3):
        process = runs.start(*overrides)
        target = before + moments.randint(1, 15)
        runs.wait_for(lambda target=target: runs.steps_done(folder) >= target, process)
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        process.communicate()
        before = runs.steps_done(folder)
        assert runs.status(folder)["state"] == "running"
    output, errors = runs.start(*overrides).communicate()
    assert "Resuming after step" in output, output
    assert errors == ""
    assert runs.status(folder)["state"] == "finished"
    assert runs.outcome(folder) == uninterrupted(*overrides)
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} <= {".lock", ".hydra"}


def test_stopped_before_any_rename_a_run_ends_bit_identical(
    runs: Any, uninterrupted: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the two renames of a checkpoint."""
    overrides = (*runs.SHORT, runs.OFTEN, "trainer.max_steps=3")
    expected, replace = uninterrupted(*overrides), os.replace

    def replace_or_die(source: Any, target: Any) -> None:
        if next(left, None) is None:
            raise runs.Killed
        replace(source, target)

    for renames in range(100):
        stopped, left = type(runs)(tmp_path / str(renames)), iter(range(renames))
        with monkeypatch.context() as patched, contextlib.suppress(runs.Killed):
            patched.setattr(os, "replace", replace_or_die)
            stopped.run(*overrides)
            break
        stopped.run(*overrides)
        assert stopped.outcome(stopped.folder(*overrides)) == expected
    assert 10 < renames < 99


def test_a_stop_between_the_renames_leaves_the_previous_checkpoint(
    runs: Any, half_done: Path, uninterrupted: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    os.replace(half_done / "checkpoint.pt", half_done / "checkpoint.previous.pt")
    capsys.readouterr()
    runs.run(*runs.SHORT)
    assert "Resuming after step 3." in capsys.readouterr().out
    assert runs.outcome(half_done) == uninterrupted(*runs.SHORT)


def test_records_after_the_checkpoint_and_a_torn_line_are_not_doubled(
    runs: Any, half_done: Path, uninterrupted: Callable[..., dict[str, Any]]
) -> None:
    with open(half_done / "metrics.jsonl", "a") as file:
        file.write('{"kind": "step", "step": 4, "epoch": 2, "train_loss": 9.0}\n{"kind": "st')
    runs.run(*runs.SHORT)
    assert runs.outcome(half_done) == uninterrupted(*runs.SHORT)


def test_ctrl_c_and_sigterm_stop_politely_and_the_same_command_goes_on(
    runs: Any, uninterrupted: Callable[..., dict[str, Any]]
) -> None:
    overrides = (*runs.LONG[:-1], "trainer.epochs=100")  # checkpoints at the interruptions only
    folder, before = runs.folder(*overrides), 0
    for number in (signal.SIGINT, signal.SIGTERM):
        process = runs.start(*overrides)
        lines = len(runs.records(folder)) if before else 0
        runs.wait_for(
            lambda lines=lines: (folder / "metrics.jsonl").exists() and len(runs.records(folder)) > lines + 5,
            process,
        )
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert runs.status(folder)["state"] == "interrupted"
        before, previous = runs.status(folder)["step"], before
        assert before > previous
        where = f"after step {before} of 300; the same command goes on.\n"
        said = [f"momentum_exp: {folder}: interrupted {within}{where}" for within in ("", "in the evaluation ")]
        assert errors in said
    runs.run(*overrides)
    assert runs.outcome(folder) == uninterrupted(*overrides)


def test_sigterm_in_an_evaluation_ends_it_and_the_same_command_goes_on(
    runs: Any, uninterrupted: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take longer than a scheduler waits. Its weights are averages; a checkpoint is to hold the trained ones."""
    overrides = (*runs.LONG[:-1], "trainer.epochs=6", "optimizer=ntasgd", "optimizer.nonmono=1", "data.validation=8")
    folder, evaluate, seen = runs.folder(*overrides), loop.evaluate, []

    def signalled(task: Any, batches: Any, *rest: Any) -> Any:
        seen.append(len(runs.records(folder)))
        if len(seen) == 10:  # the second split of the fifth epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(task, batches, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "evaluate", signalled)
        with pytest.raises(RunFailed, match=r"interrupted in the evaluation after step \d+ of \d+") as failure:
            runs.run(*overrides)
    assert failure.value.exit_code == 130
    assert len(runs.records(folder)) == seen[-1]
    assert any(record.get("averaged_steps") for record in runs.records(folder))
    runs.run(*overrides)
    assert runs.outcome(folder) == uninterrupted(*overrides)


def test_ctrl_c_outside_the_steps_is_an_interruption_too(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "evaluate", evaluate)
    with pytest.raises(RunFailed, match="interrupted") as failure:
        runs.run(*runs.SHORT)
    assert failure.value.exit_code == 130
    assert runs.status(runs.folder(*runs.SHORT))["state"] == "interrupted"


def test_another_number_of_threads_is_said(
    runs: Any, half_done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = run_module.numerics
    monkeypatch.setattr(run_module, "numerics", lambda machine: now(machine) | {"threads": 7})
    capsys.readouterr()
    runs.run(*runs.SHORT)
    assert "not bit-identically: changed since the checkpoint: {'threads': (1, 7)}" in capsys.readouterr().out


def test_other_code_is_said_and_each_process_keeps_its_environment(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    codes = iter([{"commit": "a", "dirty": False}, {"commit": "a", "dirty": True}, {"commit": "b", "dirty": True}])
    monkeypatch.setattr("momentum_exp.runs.environment.commit", lambda: next(codes))
    overrides, said = (*runs.SHORT, runs.OFTEN), []
    for _ in range(2):
        with monkeypatch.context() as patched, contextlib.suppress(RunFailed):
            patched.setattr(loop, "epoch_record", stop)
            runs.run(*overrides)
        said.append(capsys.readouterr().out)
    runs.run(*overrides)
    said.append(capsys.readouterr().out)
    assert "other code" not in said[0]
    assert "Resuming on other code: {'dirty': (False, True)}" in said[1]
    assert "Resuming on other code: {'commit': ('a', 'b'), 'dirty': (False, True)}" in said[2]
    assert all("bit-identically" not in text for text in said)
    entries = json.loads((runs.folder(*overrides) / "environment.json").read_text())
    assert [(entry["commit"], entry["dirty"]) for entry in entries] == [("a", False), ("a", True), ("b", True)]


def test_other_diagnostics_are_said(runs: Any, half_done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.run(*runs.SHORT, runs.OFTEN, "diagnostics.every=3")
    said = capsys.readouterr().out
    assert "Resuming with other diagnostics; what was measured before stays: {'every': (2, 3)}" in said


def test_an_environment_of_one_process_becomes_the_first_of_a_list(runs: Any, half_done: Path) -> None:
    (first,) = json.loads((half_done / "environment.json").read_text())
    (half_done / "environment.json").write_text(json.dumps(first))  # as it was written once
    runs.run(*runs.SHORT)
    entries = json.loads((half_done / "environment.json").read_text())
    assert (len(entries), entries[0]) == (2, first)


def test_a_process_that_nothing_is_left_of_has_no_entry(runs: Any, half_done: Path) -> None:
    for checkpoint in half_done.glob("checkpoint*"):
        checkpoint.unlink()
    runs.run(*runs.SHORT)
    assert len(json.loads((half_done / "environment.json").read_text())) == 1
