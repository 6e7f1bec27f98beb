"""Sweeps: every job's outcome is in the table and the exit code, whatever process it ran in and however that ended."""

import math
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.job import prepare_process
from momentum_exp.runs.outcome import Outcome
from momentum_exp.runs.share import gpu_of, threads_each
from momentum_exp.runs.state import run_state
from momentum_exp.runs.sweep import Sweep

JOBLIB = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


@pytest.mark.parametrize(
    ("cores", "n_jobs", "threads"),
    [(8, 2, 4), (8, 3, 2), (8, 8, 1), (2, 5, 1), (8, -1, 1), (8, -5, 2), (1, -2, 1), (64, 1, 64)],
)
def test_runs_at_once_never_take_more_threads_than_there_are_cores(cores: int, n_jobs: int, threads: int) -> None:
    assert threads_each(cores, n_jobs) == threads


def test_gpus_are_shared_round_robin() -> None:
    assert [gpu_of(job, 2) for job in range(5)] == [0, 1, 0, 1, 0]
    assert [gpu_of(job, 1) for job in range(3)] == [0, 0, 0]
    assert gpu_of(3, 0) is None


def test_what_jobs_leave_is_read_back_and_what_they_do_not_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(tmp_path / "runs" / ".sweeps" / "one", "one")
    done = Outcome("finished", "runs/a", 0.5, "50.00%", "final test accuracy", 1.0, "seed=0")
    failed = Outcome("diverged", "runs/b", job="seed=1")
    for job in (0, 1, 10):
        sweep.begin(job, [f"seed={job}"])
    sweep.end(0, done, 0)
    sweep.end(1, failed, 1)
    results = sweep.results()
    assert list(results) == [0, 1, 10]
    assert results[0] == (done, 0)
    assert math.isnan(results[1][0].metric)
    assert results[10][0].state == "lost"
    assert not sweep.interrupted
    assert sweep.conclude(["seed=0", "seed=1", *(f"seed={n}" for n in range(2, 12))]) == 1
    *_, last = capsys.readouterr().out.splitlines()
    assert last == "jobs 12, runs 12: 1 finished, 1 diverged, 9 not run, 1 lost"
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_of_finished_jobs_ends_well_and_an_interrupted_one_does_not(tmp_path: Path) -> None:
    for codes, expected in (((0, 0), 0), ((0, 2, 1), 2), ((0, 130), 130)):
        sweep = Sweep(tmp_path / "runs" / ".sweeps" / str(expected), str(expected))
        for job, code in enumerate(codes):
            sweep.begin(job, [])
            sweep.end(job, Outcome("any", str(job)), code)
        assert sweep.interrupted == (expected == 130)
        assert sweep.conclude([]) == expected


def test_a_folder_of_the_users_keeps_all_but_the_outcomes(tmp_path: Path) -> None:
    mine = {"notes.json", "7.json", ".gitignore", "interrupted", "multirun.yaml"}
    for name in mine:
        (tmp_path / name).write_text("mine")
    sweep = Sweep(tmp_path, "one")
    assert not sweep.interrupted
    sweep.begin(0, [])
    sweep.end(0, Outcome("interrupted", "--"), 130)
    assert sweep.interrupted
    assert not Sweep(tmp_path, "another").interrupted
    assert list(sweep.results()) == [0]
    sweep.conclude([])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(mine, "mine")


def test_a_job_may_be_in_another_thread_than_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warnings.showwarning", None)
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(prepare_process).result()
    assert signal.getsignal(signal.SIGTERM) is before


def start(runs: Any, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "momentum_exp", *arguments, f"paths.runs={runs.root}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whoever started the tests
    )


def test_a_reader_that_leaves_costs_no_run(runs: Any) -> None:
    arguments = [part for part in runs.arguments(*runs.SHORT) if not part.startswith("paths.runs")]
    process = start(runs, "-m", *arguments, "cell.mu=0.3,0.4")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0
    assert [run_state(folder).state for folder in runs.root.glob("*seed*")] == ["done"] * 2


def test_joblib_shows_every_job_and_shares_the_cores(runs: Any) -> None:
    arguments = [part for part in runs.arguments(*runs.SHORT) if not part.startswith(("trainer.threads", "paths.runs"))]
    process = start(runs, *JOBLIB, *arguments, "cell.mu=1.5,0.3,0.4")
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 2
    assert errors.count("momentum_exp: error: cell.mu=1.5 is not allowed") == 1
    assert errors.count("\n") == 1, errors
    assert output.splitlines()[-1] == "jobs 3, runs 3: 2 finished, 1 failed"
    folders = list(runs.root.iterdir())
    assert {run_state(folder).state for folder in folders} == {"done"}
    assert len(folders) == 2, "nothing else is left"
    cores = len(os.sched_getaffinity(0))
    (environment,) = RunFolder(folders[0]).read("environment.json")
    assert environment["threads"] == max(1, cores // 2)


def test_ctrl_c_and_a_killed_worker_are_seen_and_the_same_command_goes_on(runs: Any) -> None:
    overrides = ("trainer.epochs=100000", "diagnostics=none")
    arguments = [part for part in runs.arguments(*overrides, runs.OFTEN) if not part.startswith("paths.runs")]
    folders = [runs.folder(*overrides, f"seed={seed}") for seed in (0, 1)]

    def begin() -> subprocess.Popen[str]:
        done = [runs.steps_done(folder) for folder in folders]
        process = start(runs, *JOBLIB, *arguments, "seed=0,1,2")
        runs.wait_for(lambda: all(runs.steps_done(f) > d + 1 for f, d in zip(folders, done, strict=True)), process)
        return process

    process = begin()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert output.splitlines()[-1] == "jobs 3, runs 3: 2 interrupted, 1 not run"
    assert errors.count("the same command goes on.") == 2
    assert [run_state(folder).state for folder in folders] == ["interrupted"] * 2
    steps = [run_state(folder).step for folder in folders]

    process = begin()
    os.kill(runs.status(folders[0])["pid"], signal.SIGKILL)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    for step in steps:
        assert f"Resuming after step {step}." in output
    assert "the launcher gave up (TerminatedWorkerError" in errors
    assert "Traceback" not in errors
    assert output.splitlines()[-1] == "jobs 3, runs 3: 2 lost, 1 not run"
    assert [run_state(folder).state for folder in folders] == ["stale"] * 2


def test_many_processes_divide_a_sweep_and_a_killed_ones_run_is_gone_on_with(runs: Any) -> None:
    """The sweep is in a folder that all of them share, as machines would."""
    overrides = (*runs.LONG, "trainer.epochs=15")
    arguments = [part for part in runs.arguments(*overrides) if not part.startswith("paths.runs")]
    folders = [runs.folder(*overrides, f"seed={seed}") for seed in range(4)]
    first = start(runs, "-m", *arguments, "seed=0,1,2,3")
    runs.wait_for(lambda: runs.steps_done(folders[0]) > 3, first)
    first.kill()
    first.communicate()
    assert run_state(folders[0]).state == "stale"
    others = [start(runs, "-m", *arguments, "seed=0,1,2,3") for _ in range(2)]
    outputs = [process.communicate(timeout=240)[0] for process in others]
    assert [process.returncode for process in others] == [0, 0]
    assert [run_state(folder).state for folder in folders] == ["done"] * 4
    processes = [len(RunFolder(folder).read("environment.json")) for folder in folders]
    assert processes == [2, 1, 1, 1], "each run was trained once, the killed one's by two processes"
    assert sum(output.count("Resuming after step") for output in outputs) == 1
    trained = [sum(f"{folder}\n" in output for output in outputs) for folder in folders]
    assert all(trained)
    for output in outputs:
        counts = output.splitlines()[-1]
        assert counts.startswith("jobs 4, runs 4: ")
        assert output.count("another process is at this run; nothing to do here.") == sum(
            int(part.split()[0]) for part in counts.split(": ")[1].split(", ") if part.endswith("busy")
        )


def test_force_trains_equal_jobs_of_a_sweep_once(runs: Any) -> None:
    arguments = [part for part in runs.arguments(*runs.SHORT) if not part.startswith("paths.runs")]
    runs.run(*runs.SHORT, "cell=lstm")
    process = start(runs, "-m", *arguments, "cell=lstm", "cell.mu=0.3,0.4", "force=true")
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert output.count("finished already") == 1
    assert output.splitlines()[-1].startswith("jobs 2, runs 1: ")
