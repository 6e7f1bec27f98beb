"""`python -m momentum_exp.paper` as a user calls it: real runs, only those that are missing."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from planned_runs import finish

from momentum_exp.errors import UserError
from momentum_exp.paper.__main__ import main
from momentum_exp.paper.artifacts import artifact_names, resolve, tables
from momentum_exp.paper.study import load_study, plan
from momentum_exp.runs.share import threads_each, usable_cores

TABLE = """
title: Mine
columns:
  - {study: pdigits, rule: best_test}
rows: [lstm, rnn]
"""


class Command:
    """The command for one table, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        (folder / "mine.yaml").write_text(TABLE)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "momentum_exp.paper", *arguments],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def inside(self, *arguments: str) -> tuple[int, str, str]:
        """The same in this process: only the runs are processes of their own."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main(arguments)
        return ended.value.code, out.getvalue(), err.getvalue()

    def run(self, arm: str, seed: int, scale: str = "smoke") -> Path:
        return plan(load_study("pdigits"), scale, [seed], [arm])[0].folder(self.runs)

    def table(self, scale: str = "smoke") -> str:
        return (self.folder / "results" / scale / "mine.md").read_text()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return Command(tmp_path_factory.mktemp("paper"))


def starts(run: Path) -> int:
    """How many processes were at a run."""
    return len(json.loads((run / "environment.json").read_text()))


def test_missing_runs_alone_are_run_and_a_failure_hides_nothing(command: Command) -> None:
    """First seed 0 with a run that can't be; then, mended, seeds 0 and 1."""
    blocked = command.run("lstm", 0)
    blocked.parent.mkdir()
    blocked.write_text("not a folder")
    code, out, err = command.inside("mine.yaml", "--scale", "smoke", "--seeds", "1", "--jobs", "2")
    assert (code, "Traceback" in err) == (1, False)
    assert "pdigits (smoke): 2 runs: 2 missing; time not known (2)" in out
    assert f"1 failed:\n  {blocked.name}: cannot write the run folder runs/{blocked.name}: File exists." in err
    assert f"(runs/logs/{blocked.name}.log)" in err
    assert "| LSTM | 16 | -- | -- |" in command.table()
    assert "(1) |" in command.table()
    assert "- PARTIAL: 1 of 2 runs are missing" in command.table()

    blocked.unlink()
    code, out, err = command.inside("mine.yaml", "--scale", "smoke", "--seeds", "2", "--jobs", "2")
    assert (code, err) == (0, "")
    assert "pdigits (smoke): 4 runs: 1 done, 3 missing; 0.00 hours by" in out
    assert command.table().count("(2) |") == 2
    assert "PARTIAL" not in command.table()
    assert [starts(command.run(arm, seed)) for arm in ("lstm", "rnn") for seed in (0, 1)] == [1] * 4
    assert out.count(": done\n") == 3
    threads = json.loads((command.run("rnn", 1) / "environment.json").read_text())[0]["threads"]
    assert threads == threads_each(usable_cores(), 2)


def test_ctrl_c_ends_runs_cleanly_and_the_same_command_goes_on(command: Command) -> None:
    process = command.start("mine.yaml", "--scale", "reduced", "--seeds", "0,5")
    run = command.run("lstm", 0, "reduced")
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "momentum_exp.paper: interrupted; the same command goes on.\n"
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"
    assert (run / "checkpoint.pt").exists()
    assert [path for path in command.runs.iterdir() if path.name.startswith("pdigits-rnn-n64")] == []
    code, out, _ = command.inside("mine.yaml", "--scale", "reduced", "--seeds", "0,5", "--plan")
    assert code == 0
    assert "4 runs: 4 missing; 0.0" in out
    assert "hours by its own progress (1), minutes a run in conf/study (3)" in out


def test_a_plan_runs_nothing_and_says_what_it_knows(command: Command) -> None:
    done, stuck, gone, _ = plan(load_study("pdigits"), "smoke", [10, 11, 12, 13], ["gru"])
    summary = {"final": {"seconds": 7000.0, "epoch": 2, "eval_seconds": 100.0}}
    finish(done, command.runs, [{"test_accuracy": 0.5}] * 2, summary=summary)
    finish(stuck, command.runs, [], state="interrupted", step=1, total_steps=4, seconds=1200.0)
    finish(gone, command.runs, [], state="diverged", error="step 3")
    (command.folder / "gru.yaml").write_text(TABLE.replace("lstm, rnn", "gru, momentumgru"))
    code, out, _ = command.inside("gru.yaml", "--scale", "smoke", "--seeds", "10,11,12,13", "--plan", "--jobs", "2")
    assert code == 0
    # gru: 3600 s left of seed 11, 7200 s for seed 13, like seed 10; momentumgru: 4 times those of another arm.
    assert out.splitlines() == [
        "pdigits (smoke): 8 runs: 1 done, 6 missing, 1 diverged; 11.00 hours by other arms of the study (4), "
        "its own progress (1), runs of the same arm (1)",
        "left: 11.00 hours (2 runs at a time: about 5.50)",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabel1"], "tabel1: there is no such table, figure or report.*Write table1"),
        (["table1", "--seeds", "1,1"], "SEEDS=1,1: takes .*Write SEEDS=5, SEEDS=0,2,3 or"),
        (["table1", "--scale", "big"], "SCALE=big: takes full, reduced, smoke"),
        (["table1", "--jobs", "0"], "JOBS=0: takes a whole number, 1 or more"),
        (["a/mine.yaml", "mine.yaml"], "mine.yaml: its files would replace those of a/mine.yaml"),
        (["none.yaml"], "none.yaml can't be read: .*No such file"),
        (["table1", "--only-render", "--runs", "rusn"], "rusn: there is no such folder of runs.*RUNS=FOLDER"),
        (["table1", "--plan", "--runs", "mine.yaml"], "mine.yaml: there is no such folder of runs"),
        (["table1", "--launcher", "slurm"], "LAUNCHER=slurm: takes basic, joblib, .*Write --launcher joblib"),
        (["table1", "--launcher", ""], "LAUNCHER=: takes basic, joblib"),
        (["mine.yaml", "--scale", "smoke", "--out", "mine.yaml"], "cannot write mine.yaml/smoke: Not a directory"),
    ],
)
def test_a_mistake_is_one_message(arguments: list[str], message: str, tmp_path: Path) -> None:
    code, out, err = Command(tmp_path).inside(*arguments)
    assert (code, out) == (2, "")
    assert re.search(message, err)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_half_deleted_run_is_said_before_anything_is_run(tmp_path: Path) -> None:
    command = Command(tmp_path)
    path = finish(plan(load_study("pdigits"), "smoke", [0], ["lstm"])[0], command.runs, [{"test_accuracy": 0.5}])
    (path / "metrics.jsonl").unlink()
    code, out, err = command.inside("mine.yaml", "--scale", "smoke")
    assert (code, out) == (2, "")
    assert f"{path.relative_to(tmp_path)} is not a complete run folder" in err
    assert [run.name for run in command.runs.iterdir()] == [path.name]


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_what_failed_earlier_is_listed_and_left(tmp_path: Path, state: str) -> None:
    command = Command(tmp_path)
    failed, done = plan(load_study("pdigits"), "smoke", [0], ["lstm", "rnn"])
    path = finish(failed, command.runs, [], state=state, error="ValueError: not this\nand more")
    finish(done, command.runs, [{"test_accuracy": 0.5}])
    code, out, err = command.inside("mine.yaml", "--scale", "smoke", "--seeds", "1")
    assert code == 1
    assert f"2 runs: 1 done, 1 {state}" in out
    listed = f"{path.relative_to(tmp_path)}: {state} earlier: ValueError: not this; --retry runs it again"
    assert err == f"\n1 failed:\n  {listed}\n"
    assert f"- LSTM, Permuted digits: 1 of 1 seeds {state}" in command.table()
    assert "| RNN | 16 | 12,345 | 50.00 (1) |" in command.table()


def test_an_artifact_that_cannot_be_made_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def render(name: str, scale: str, seeds: list[int], runs: Path, out: Path) -> list[Path]:
        if name == "table2":
            raise UserError("nothing to draw")
        (out / name).touch()
        return [out / name]

    monkeypatch.setattr(tables, "render", render)
    code, out, err = Command(tmp_path).inside("table2", "table5", "table3", "--scale", "smoke", "--only-render")
    assert (code, err) == (2, "momentum_exp.paper: error: table2: nothing to draw\n")
    assert out.splitlines() == [
        "no runs are needed",
        "table3: results/smoke/table3",
        "table5: results/smoke/table5",
    ]


def test_paper_is_everything_there_is() -> None:
    everything = resolve(["paper"])
    assert [artifact.name for artifact in everything] == artifact_names()
    assert [artifact.name for artifact in resolve(["table2", "table1", "table2"])] == ["table1", "table2"]
