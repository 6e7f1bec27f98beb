"""The same command again: a finished run is shown, `force` clears it, and one process at a time is at a run."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from momentum_exp.runs import run as run_module
from momentum_exp.runs.claim import CLAIM, Busy, FolderClaim
from momentum_exp.runs.folder import RunFolder
from momentum_exp.training import loop


def test_a_finished_run_shows_its_result_and_is_not_run_again(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score, folder = runs.run(*runs.SHORT), runs.folder(*runs.SHORT)
    result = capsys.readouterr().out.split("finished\n")[-1]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "train", None)
        assert runs.run(*runs.SHORT) == score
    assert capsys.readouterr().out == (
        f"{folder}: finished already, its diagnostics and tracking as they were; force=true runs it again.\n{result}"
    )
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_figures_lost_to_a_kill_are_drawn_when_the_same_command_comes_again(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = (*runs.SHORT[:-1], "diagnostics.figures=true")
    folder = runs.folder(*overrides)

    def die_between(drawn: Any, out: Path) -> None:
        out.mkdir()
        (out / "convergence.png").touch()
        raise runs.Killed

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "draw", die_between)
        with pytest.raises(runs.Killed):
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
    overrides = (*runs.SHORT[:-1], "diagnostics.figures=true")
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
    runs.run(*runs.SHORT)
    folder = runs.folder(*runs.SHORT)
    expected, left = runs.outcome(folder), folder / "wandb" / "run-1"
    left.mkdir(parents=True)
    (left / "old.log").touch()
    (folder / "wandb" / "latest-run").symlink_to(left, target_is_directory=True)  # W&B makes such links
    capsys.readouterr()
    runs.run(*runs.SHORT, "force=true")
    assert "step 0/5" in capsys.readouterr().out
    assert runs.outcome(folder) == expected
    assert not (folder / "wandb").exists()


def test_killed_while_it_clears_the_folder_a_run_is_whole_again(
    runs: Any, uninterrupted: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, unlink = uninterrupted(*runs.SHORT), Path.unlink
    runs.run(*runs.SHORT)

    def unlink_or_die(path: Path, missing_ok: bool = False) -> None:
        if path.parent == folder and next(left, None) is None:
            raise runs.Killed
        unlink(path, missing_ok)

    folder = runs.folder(*runs.SHORT)
    for removed in range(sum(path.is_file() for path in folder.iterdir()) - 1):
        left = iter(range(removed))
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", unlink_or_die)
            with pytest.raises(runs.Killed):
                runs.run(*runs.SHORT, "force=true")
        runs.run(*runs.SHORT)
        assert runs.outcome(folder) == expected


def test_of_two_processes_started_at_once_one_trains_and_a_kill_frees_the_run(runs: Any) -> None:
    overrides = (*runs.LONG[:-1], "trainer.epochs=100000")
    folder = runs.folder(*overrides)
    both = [runs.start(*overrides) for _ in range(2)]
    try:
        while all(process.poll() is None for process in both):
            time.sleep(0.01)
        both.sort(key=lambda process: process.poll() is None)
        output, errors = both[0].communicate()
        assert (both[0].returncode, errors) == (0, "")
        assert output == f"{folder}: another process is at this run; nothing to do here.\n"
        runs.wait_for(lambda: (folder / "metrics.jsonl").exists() and len(runs.records(folder)) > 2, both[1])
        with pytest.raises(Busy), RunFolder(folder).locked():
            pass
    finally:
        for process in both:
            process.kill()
            process.communicate()
    with RunFolder(folder).locked():
        assert runs.status(folder)["state"] == "running"


def test_a_process_that_lost_its_claim_stops_and_leaves_the_run_as_it_is(
    runs: Any, uninterrupted: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, measure = runs.folder(*runs.SHORT), loop.evaluate

    def lose(*arguments: Any) -> dict[str, float]:
        before.append((folder / "metrics.jsonl").read_text())
        (folder / CLAIM).unlink()
        stack.enter_context(FolderClaim(folder).held())
        return measure(*arguments)

    before: list[str] = []
    with contextlib.ExitStack() as stack, monkeypatch.context() as patched:
        patched.setattr(loop, "evaluate", lose)
        runs.run(*runs.SHORT)
        assert "another process has taken this run over while this one did not answer" in capsys.readouterr().out
        assert runs.status(folder)["state"] == "running"
        assert (folder / "metrics.jsonl").read_text() == before[0]
        assert (folder / CLAIM).exists()
    runs.run(*runs.SHORT)
    assert runs.outcome(folder) == uninterrupted(*runs.SHORT)


def test_a_run_that_another_process_finishes_meanwhile_is_not_run_again(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = run_module.load_dataset

    def finish_first(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(run_module, "load_dataset", load)
        runs.run(*runs.SHORT)
        capsys.readouterr()
        monkeypatch.setattr(run_module, "train", None)
        return load(*arguments, **options)

    monkeypatch.setattr(run_module, "load_dataset", finish_first)
    runs.run(*runs.SHORT)
    assert "finished already" in capsys.readouterr().out
