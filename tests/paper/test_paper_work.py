"""The commands for missing runs, and what is said of those that fail."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from planned_runs import finish

from momentum_exp.errors import UserError
from momentum_exp.paper.progress import progress
from momentum_exp.paper.study import load_study, plan
from momentum_exp.paper.work import Failure, Job, jobs, work
from momentum_exp.runs.compose import compose_config

RUNS = Path("runs")


def test_a_subprocess_a_run_or_a_command_an_arm() -> None:
    missing = plan(load_study("pdigits"), "smoke", [0, 2], ["lstm", "rnn"])
    single = jobs(missing, RUNS, "basic", at_once=1, retry=False)
    assert [job.name for job in single] == [run.identity.folder for run in missing]
    assert single[1].command == [
        *(sys.executable, "-m", "momentum_exp"),
        *(*missing[1].overrides, "seed=2", "paths.runs='runs'"),
    ]
    shared = jobs(missing, RUNS, "basic", at_once=10**6, retry=True)
    assert list(shared[1].command)[-3:] == ["paths.runs='runs'", "retry=true", "trainer.threads=1"]
    arms = jobs(missing, RUNS, "submitit_slurm hydra.launcher.partition=gpu", at_once=1, retry=False)
    assert [list(job.command)[2:] for job in arms] == [
        [
            *("momentum_exp", "-m", *overrides, "seed=0,2"),
            *("hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "paths.runs='runs'"),
        ]
        for overrides in (missing[0].overrides, missing[2].overrides)
    ]


def test_each_run_of_a_launchers_command_has_its_own_error(tmp_path: Path) -> None:
    missing = plan(load_study("pdigits"), "smoke", [0, 1, 2], ["lstm"])
    (job,) = jobs(missing, tmp_path, "joblib", at_once=1, retry=False)
    finish(missing[0], tmp_path, [{"test_accuracy": 0.5}])
    finish(missing[1], tmp_path, [], state="failed", error="ValueError: one\nand more")
    assert Failure(job, "the first that the log has").lines == [
        f"{missing[1].identity.folder}: ValueError: one ({job.log})",
        f"{missing[2].identity.folder}: the first that the log has ({job.log})",
    ]


def test_jobs_beside_a_launcher_are_refused() -> None:
    missing = plan(load_study("pdigits"), "smoke", [0], ["lstm"])
    with pytest.raises(UserError, match=r"--jobs 2 has no effect with --launcher joblib.*hydra.launcher.n_jobs=2"):
        jobs(missing, RUNS, "joblib", at_once=2, retry=False)


def test_a_folder_of_runs_may_have_any_name() -> None:
    """What is handed to Hydra is read back as the folder."""
    folder = Path("my runs/it's=[1,2]")
    command = jobs(plan(load_study("pdigits"), "smoke", [0], ["lstm"]), folder, "basic", 1, False)[0].command
    assert compose_config(command[3:]).paths.runs == str(folder)


def test_seeds_are_outermost_and_a_run_that_two_studies_share_is_one(tmp_path: Path) -> None:
    planned = [
        run for name in ("pdigits", "pmnist") for run in plan(load_study(name), "smoke", [0, 2], ["lstm", "srlstm"])
    ]
    found = progress(planned, tmp_path)
    assert [(one.run.study, one.run.arm, one.run.seed) for one in found] == [
        ("pdigits", arm, seed) for seed in (0, 2) for arm in ("lstm", "srlstm")
    ]
    assert {one.state for one in found} == {"missing"}


def test_of_plans_that_are_one_run_the_one_with_the_finer_diagnostics_is_made(tmp_path: Path) -> None:
    planned = [run for name in ("pmnist", "gradients") for run in plan(load_study(name), "full", [0], ["lstm"])]
    assert len({run.identity.hash for run in planned}) == 1
    for order in (planned, planned[::-1]):
        (one,) = progress(order, tmp_path)
        assert one.run.config.diagnostics.every == 50


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("print('momentum_exp: warning: w'); print('momentum_exp: error: no data'); exit(2)", "no data"),
        ("raise ValueError('not this')", "ValueError: not this"),
        ("exit(7)", "exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
    ],
)
def test_the_first_line_of_an_error_is_found(code: str, error: str, tmp_path: Path) -> None:
    bad = Job("bad", [sys.executable, "-c", code], tmp_path / "logs" / "bad.log")
    good = Job("good", [sys.executable, "-c", "print('fine')"], tmp_path / "logs" / "good.log")
    ended = {job.name: failure for job, failure in work([bad, good], at_once=1)}
    assert ended["bad"] is not None
    assert ended["bad"].error == error
    assert ended["good"] is None
    assert good.log.read_text() == "fine\n"


@pytest.mark.parametrize(("at_once", "seen"), [(1, ["4,7"] * 3), (2, ["4", "7", "4"])])
def test_runs_at_a_time_share_the_gpus(
    at_once: int, seen: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    todo = [Job(str(number), [sys.executable, "-c", code], tmp_path / f"{number}.log") for number in range(3)]
    assert all(failure is None for _, failure in work(todo, at_once))
    assert [job.log.read_text().strip() for job in todo] == seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_jobs_under_way_even_where_a_script_has_it_ignored(
    number: signal.Signals, tmp_path: Path
) -> None:
    """The job gets SIGINT, with the handler that Python has for it; what was not started is not."""
    child = "import time\ntry:\n print('up', flush=True)\n time.sleep(60)\nexcept KeyboardInterrupt:\n print('saved')\n"
    parent = f"""
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)
from momentum_exp.paper.work import Job, work
todo = [Job(name, [sys.executable, "-c", {child!r}], Path(name)) for name in ("first", "second")]
try:
    list(work(todo, 1))
except KeyboardInterrupt:
    print("interrupted")
"""
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "first").exists() or "up" not in (tmp_path / "first").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == "interrupted\n"
    assert (tmp_path / "first").read_text() == "up\nsaved\n"
    assert not (tmp_path / "second").exists()
