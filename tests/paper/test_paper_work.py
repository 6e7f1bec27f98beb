"""The commands for missing runs, and what is said of those that fail."""

import sys
from pathlib import Path

import pytest

from momentum_exp.paper.progress import progress
from momentum_exp.paper.study import load_study, plan
from momentum_exp.paper.work import Job, jobs, work
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
    arms = jobs(missing, RUNS, "submitit_slurm hydra.launcher.partition=gpu", at_once=2, retry=False)
    assert [list(job.command)[2:] for job in arms] == [
        [
            *("momentum_exp", "-m", *overrides, "seed=0,2"),
            *("hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "paths.runs='runs'"),
        ]
        for overrides in (missing[0].overrides, missing[2].overrides)
    ]


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
