"""A run that is killed, interrupted or damaged goes on and ends as if nothing had been."""

import contextlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from momentum_exp.errors import UserError
from momentum_exp.runs import run as run_module
from momentum_exp.runs.folder import Busy, RunFolder
from momentum_exp.runs.run import RunFailed
from momentum_exp.training import loop

SHORT = ("trainer.max_steps=5", "trainer.log_every=2", "diagnostics.every=2", "diagnostics.figures=false")
OFTEN = "trainer.checkpoint_seconds=0"  # a checkpoint after every step
LONG = ("trainer.epochs=20", "trainer.log_every=7", "diagnostics.every=4", "diagnostics.figures=false", OFTEN)
DROPOUT = ("cell.num_layers=2", "cell.dropout=0.5", "optimizer=adam")


class Killed(BaseException):
    """Stands for a kill where a real one would not land at the wanted place."""


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "momentum_exp", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until `condition` holds; fails when the process ends before."""
    for _ in range(60_000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    raise AssertionError("waited a minute in vain")


def steps_done(folder: Path) -> int:
    try:
        return int(RunFolder(folder).status().get("step", 0))
    except FileNotFoundError:
        return 0


@pytest.fixture
def uninterrupted(runs: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The outcome of a run that nothing disturbs, made in another folder."""
    other = type(runs)(tmp_path / "undisturbed")

    def outcome(*overrides: str) -> dict[str, Any]:
        other.run(*overrides)
        result: dict[str, Any] = other.outcome(other.folder(*overrides))
        return result

    return outcome


@pytest.fixture
def half_done(runs: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a SHORT run that was killed after its third checkpoint; the one of step 2 lies beside it."""

    def save(folder: Path, content: dict[str, Any]) -> None:
        saved(folder, content)
        if content["progress"]["step"] == 3:
            raise Killed

    saved = loop.save_checkpoint
    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_checkpoint", save)
        with pytest.raises(Killed):
            runs.run(*SHORT, OFTEN)
    folder: Path = runs.folder(*SHORT)
    return folder


@pytest.mark.parametrize("cell", [(), DROPOUT], ids=["momentumlstm", "dropout-adam"])
def test_killed_at_any_moment_a_run_ends_bit_identical(
    runs: Any, uninterrupted: Callable[..., dict[str, Any]], cell: tuple[str, ...]
) -> None:
    overrides = (*LONG, *cell)
    folder, moments, before = runs.folder(*overrides), random.Random(len(cell)), 0
    for _ in range(3):
        process = start(runs.arguments(*overrides))
        target = before + moments.randint(1, 15)
        wait_for(lambda target=target: steps_done(folder) >= target, process)
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        process.communicate()
        before = steps_done(folder)
        assert runs.status(folder)["state"] == "running"
    output, errors = start(runs.arguments(*overrides)).communicate()
    assert "Resuming after step" in output, output
    assert errors == ""
    assert runs.status(folder)["state"] == "finished"
    assert runs.outcome(folder) == uninterrupted(*overrides)
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} <= {".lock", ".hydra"}


def test_stopped_before_any_rename_a_run_ends_bit_identical(
    runs: Any, uninterrupted: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the two renames of a checkpoint."""
    overrides = (*SHORT, OFTEN, "trainer.max_steps=3")
    expected, replace = uninterrupted(*overrides), os.replace

    def replace_or_die(source: Any, target: Any) -> None:
        if next(left, None) is None:
            raise Killed
        replace(source, target)

    for renames in range(100):
        stopped, left = type(runs)(tmp_path / str(renames)), iter(range(renames))
        with monkeypatch.context() as patched, contextlib.suppress(Killed):
            patched.setattr(os, "replace", replace_or_die)
            stopped.run(*overrides)
            break
        stopped.run(*overrides)
        assert stopped.outcome(stopped.folder(*overrides)) == expected
    assert 10 < renames < 99


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    """One bit of the weights, which torch.load would not notice."""
    content = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["model"]["readout.weight"].numpy().tobytes()
    content[content.index(weights)] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb()))


def bomb_of_torch(path: Path) -> None:
    torch.save({"model": Bomb()}, path)


@pytest.mark.parametrize("damage", [truncated, flipped, emptied, bomb, bomb_of_torch])
@pytest.mark.parametrize("both", [False, True], ids=["current", "both"])
def test_a_corrupt_checkpoint_is_said_and_the_one_before_used(
    runs: Any,
    half_done: Path,
    uninterrupted: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    both: bool,
) -> None:
    monkeypatch.chdir(half_done.parent)
    recorded = (half_done / "metrics.jsonl").read_bytes()
    damage(half_done / "checkpoint.pt")
    if both:
        damage(half_done / "checkpoint.previous.pt")
    capsys.readouterr()
    runs.run(*SHORT)
    said = capsys.readouterr().out
    assert "checkpoint.pt is corrupt" in said
    if both:
        assert "checkpoint.previous.pt is corrupt" in said
        assert "starting again" in said
        assert "Resuming" not in said
        aside = {path.name.split(".before-")[0]: path for path in half_done.glob("*.before-*")}
        assert set(aside) == {"checkpoint", "checkpoint.previous", "diagnostics", "metrics"}
        assert aside["metrics"].read_bytes() == recorded
        assert all(f"Kept as {path}" in said for path in aside.values())
    else:
        assert [path.name.split(".before-")[0] for path in half_done.glob("*.before-*")] == ["checkpoint"]
        assert "using the previous one" in said
        assert "Resuming after step 2." in said
    assert runs.outcome(half_done) == uninterrupted(*SHORT)
    assert not Path("executed").exists()


def test_a_stop_between_the_renames_leaves_the_previous_checkpoint(
    runs: Any, half_done: Path, uninterrupted: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    os.replace(half_done / "checkpoint.pt", half_done / "checkpoint.previous.pt")
    capsys.readouterr()
    runs.run(*SHORT)
    assert "Resuming after step 3." in capsys.readouterr().out
    assert runs.outcome(half_done) == uninterrupted(*SHORT)


def test_a_stop_between_the_renames_after_a_fallback_leaves_a_checkpoint(
    runs: Any,
    half_done: Path,
    uninterrupted: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truncated(half_done / "checkpoint.pt")
    replace = os.replace

    def replace_or_die(source: Any, target: Any) -> None:
        if Path(source).name == ".checkpoint.pt.fresh":
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace_or_die)
        with pytest.raises(Killed):
            runs.run(*SHORT, OFTEN)
    capsys.readouterr()
    runs.run(*SHORT)
    assert "Resuming after step 2." in capsys.readouterr().out
    assert runs.outcome(half_done) == uninterrupted(*SHORT)


def test_a_checkpoint_that_the_disk_refuses_costs_nothing(
    runs: Any, half_done: Path, uninterrupted: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, before = Path.read_bytes, {path.name for path in half_done.iterdir()}
    recorded = (half_done / "metrics.jsonl").read_bytes()

    def refuse(path: Path) -> bytes:
        if path.suffix == ".pt":
            raise OSError(5, "Input/output error")
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)
        with pytest.raises(RunFailed, match=r"cannot read or write .*Input/output error") as failure:
            runs.run(*SHORT)
    assert failure.value.exit_code == 2
    assert (half_done / "metrics.jsonl").read_bytes() == recorded
    assert {path.name for path in half_done.iterdir()} == before
    runs.run(*SHORT)
    assert runs.outcome(half_done) == uninterrupted(*SHORT)


def test_records_after_the_checkpoint_and_a_torn_line_are_not_doubled(
    runs: Any, half_done: Path, uninterrupted: Callable[..., dict[str, Any]]
) -> None:
    with open(half_done / "metrics.jsonl", "a") as file:
        file.write('{"kind": "step", "step": 4, "epoch": 2, "train_loss": 9.0}\n{"kind": "st')
    runs.run(*SHORT)
    assert runs.outcome(half_done) == uninterrupted(*SHORT)


def test_ctrl_c_and_sigterm_stop_politely_and_the_same_command_goes_on(
    runs: Any, uninterrupted: Callable[..., dict[str, Any]]
) -> None:
    overrides = (*LONG[:-1], "trainer.epochs=100")  # checkpoints at the interruptions only
    folder, before = runs.folder(*overrides), 0
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(runs.arguments(*overrides))
        lines = len(runs.records(folder)) if before else 0
        wait_for(
            lambda lines=lines: (folder / "metrics.jsonl").exists() and len(runs.records(folder)) > lines + 5,
            process,
        )
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert runs.status(folder)["state"] == "interrupted"
        before, previous = runs.status(folder)["step"], before
        assert before > previous
        assert errors == (
            f"momentum_exp: {folder}: interrupted after step {before} of 300; the same command goes on.\n"
        )
    runs.run(*overrides)
    assert runs.outcome(folder) == uninterrupted(*overrides)


def test_ctrl_c_outside_the_steps_is_an_interruption_too(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "evaluate", evaluate)
    with pytest.raises(RunFailed, match="interrupted") as failure:
        runs.run(*SHORT)
    assert failure.value.exit_code == 130
    assert runs.status(runs.folder(*SHORT))["state"] == "interrupted"


def test_a_finished_run_shows_its_result_and_is_not_run_again(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score, folder = runs.run(*SHORT), runs.folder(*SHORT)
    result = capsys.readouterr().out.split("finished\n")[-1]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "train", None)
        assert runs.run(*SHORT) == score
    assert capsys.readouterr().out == (
        f"{folder}: finished already, its diagnostics and tracking as they were; force=true runs it again.\n{result}"
    )
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_figures_lost_to_a_kill_are_drawn_when_the_same_command_comes_again(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = (*SHORT[:-1], "diagnostics.figures=true")
    folder = runs.folder(*overrides)

    def die_between(drawn: Any, out: Path) -> None:
        out.mkdir()
        (out / "convergence.png").touch()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "draw", die_between)
        with pytest.raises(Killed):
            runs.run(*overrides)
    assert runs.status(folder)["state"] == "finished"
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "train", None)
        runs.run(*overrides)
    figures = {path.name: path.stat() for path in (folder / "figures").iterdir()}
    assert {"convergence.png", "gradient_heat_map.png", "gradient_lines.png"} == set(figures)
    assert all(stat.st_size for stat in figures.values())
    assert not (folder / ".figures").exists()
    monkeypatch.setattr(run_module, "draw", None)
    runs.run(*overrides)
    assert "finished already" in capsys.readouterr().out


def test_figures_that_cannot_be_drawn_cost_neither_the_result_nor_the_next_try(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*SHORT[:-1], "diagnostics.figures=true")
    folder = runs.folder(*overrides)

    def refuse(drawn: Any, out: Path) -> None:
        raise ZeroDivisionError("ours")

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "draw", refuse)
        for _ in range(2):
            with pytest.warns(UserWarning, match=r"finished, but its figures .* \(ZeroDivisionError: ours\)"):
                assert 0 <= runs.run(*overrides) <= 1
            assert runs.status(folder)["state"] == "finished"
    with RunFolder(folder).locked():  # another process that is at them
        assert 0 <= runs.run(*overrides) <= 1
    assert not (folder / "figures").exists()
    runs.run(*overrides)
    assert (folder / "figures" / "convergence.png").exists()


def test_force_runs_again_from_the_start(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    runs.run(*SHORT)
    folder = runs.folder(*SHORT)
    expected, left = runs.outcome(folder), folder / "wandb" / "run-1"
    left.mkdir(parents=True)
    (left / "old.log").touch()
    (folder / "wandb" / "latest-run").symlink_to(left, target_is_directory=True)  # W&B makes such links
    capsys.readouterr()
    runs.run(*SHORT, "force=true")
    assert "step 0/5" in capsys.readouterr().out
    assert runs.outcome(folder) == expected
    assert not (folder / "wandb").exists()


def test_killed_while_it_clears_the_folder_a_run_is_whole_again(
    runs: Any, uninterrupted: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, unlink = uninterrupted(*SHORT), Path.unlink
    runs.run(*SHORT)

    def unlink_or_die(path: Path, missing_ok: bool = False) -> None:
        if path.parent == folder and next(left, None) is None:
            raise Killed
        unlink(path, missing_ok)

    folder = runs.folder(*SHORT)
    for removed in range(sum(path.is_file() for path in folder.iterdir()) - 1):
        left = iter(range(removed))
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", unlink_or_die)
            with pytest.raises(Killed):
                runs.run(*SHORT, "force=true")
        runs.run(*SHORT)
        assert runs.outcome(folder) == expected


@pytest.mark.parametrize("name", ["diagnostics.npz", "metrics.jsonl"])
def test_damaged_measurements_are_named(runs: Any, half_done: Path, name: str) -> None:
    path = half_done / name
    path.write_bytes(b"{}\n" + path.read_bytes()[:-40])
    with pytest.raises(UserError, match=rf"{name}.*force=true"):
        runs.run(*SHORT)
    runs.run(*SHORT, "force=true")
    assert runs.status(half_done)["state"] == "finished"


def test_force_runs_again_over_a_damaged_status(runs: Any) -> None:
    runs.run(*SHORT)
    path = runs.folder(*SHORT) / "status.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"status\.json is damaged .* Write force=true"):
        runs.run(*SHORT)
    runs.run(*SHORT, "force=true")
    assert runs.status(path.parent)["state"] == "finished"


def test_another_number_of_threads_is_said(
    runs: Any, half_done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = run_module.numerics
    monkeypatch.setattr(run_module, "numerics", lambda machine: now(machine) | {"threads": 7})
    capsys.readouterr()
    runs.run(*SHORT)
    assert "not bit-identically: changed since the checkpoint: {'threads': (1, 7)}" in capsys.readouterr().out


def test_other_code_is_said_and_each_process_keeps_its_environment(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    codes = iter([{"commit": "a", "dirty": False}, {"commit": "a", "dirty": True}, {"commit": "b", "dirty": True}])
    monkeypatch.setattr("momentum_exp.runs.environment.commit", lambda: next(codes))
    overrides, said = (*SHORT, OFTEN), []
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
    runs.run(*SHORT, OFTEN, "diagnostics.every=3")
    said = capsys.readouterr().out
    assert "Resuming with other diagnostics; what was measured before stays: {'every': (2, 3)}" in said


def test_an_environment_of_one_process_becomes_the_first_of_a_list(runs: Any, half_done: Path) -> None:
    (first,) = json.loads((half_done / "environment.json").read_text())
    (half_done / "environment.json").write_text(json.dumps(first))  # as it was written once
    runs.run(*SHORT)
    entries = json.loads((half_done / "environment.json").read_text())
    assert (len(entries), entries[0]) == (2, first)


def test_of_two_processes_started_at_once_one_trains_and_a_kill_frees_the_run(runs: Any) -> None:
    overrides = (*LONG[:-1], "trainer.epochs=100000")
    folder = runs.folder(*overrides)
    both = [start(runs.arguments(*overrides)) for _ in range(2)]
    try:
        while all(process.poll() is None for process in both):
            time.sleep(0.01)
        both.sort(key=lambda process: process.poll() is None)
        output, errors = both[0].communicate()
        assert (both[0].returncode, errors) == (0, "")
        assert output == f"{folder}: another process is at this run; nothing to do here.\n"
        wait_for(lambda: (folder / "metrics.jsonl").exists() and len(runs.records(folder)) > 2, both[1])
        with pytest.raises(Busy), RunFolder(folder).locked():
            pass
    finally:
        for process in both:
            process.kill()
            process.communicate()
    with RunFolder(folder).locked():
        assert runs.status(folder)["state"] == "running"


def test_a_run_that_another_process_finishes_meanwhile_is_not_run_again(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = run_module.load_dataset

    def finish_first(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(run_module, "load_dataset", load)
        runs.run(*SHORT)
        capsys.readouterr()
        monkeypatch.setattr(run_module, "train", None)
        return load(*arguments, **options)

    monkeypatch.setattr(run_module, "load_dataset", finish_first)
    runs.run(*SHORT)
    assert "finished already" in capsys.readouterr().out
