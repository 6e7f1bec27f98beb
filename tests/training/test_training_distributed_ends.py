"""How a run on several processes ends: interrupted, killed, by a mistake, by a bug; and that it goes on."""

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from distributed_runs import ALL, assert_alike, folder_of, run_here, torchrun

from momentum_exp.runs.folder import RunFolder

LONG = (*ALL, "cell.hidden_size=4", "data.limit=23", "trainer.batch_size=8", "trainer.epochs=20")
OFTEN = "trainer.checkpoint_seconds=0"


def steps_done(root: Path) -> int:
    folders = list(root.glob("digits-*"))
    return int(RunFolder(folders[0]).status().get("step", 0)) if folders else 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(12_000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("waited two minutes in vain")


def test_interrupted_and_killed_a_run_goes_on_with_any_number_of_processes(tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    command = ("-m", "momentum_exp", *LONG, OFTEN, f"paths.runs={two}")
    process = torchrun(*command, processes=2)
    wait_for(lambda: steps_done(two) >= 3, process)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=60)
    folder = folder_of(two)
    status = RunFolder(folder).status()
    assert status["state"] == "interrupted"
    (said,) = [line for line in errors.splitlines() if line.startswith("momentum_exp: ")]
    where = f"after step {status['step']} of 60; the same command goes on."
    assert said in [f"momentum_exp: {folder}: interrupted {within}{where}" for within in ("", "in the evaluation ")]
    assert out.count("step 0/60") == 1

    process = torchrun(*command, processes=2)
    wait_for(lambda: steps_done(two) >= status["step"] + 5, process)
    for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        child.kill()
    out, _ = process.communicate(timeout=60)
    assert out.count(f"Resuming after step {status['step']}.") == 1
    assert RunFolder(folder).status()["state"] == "running"
    run_here(*LONG, f"paths.runs={two}")
    run_here(*LONG, f"paths.runs={one}")
    assert RunFolder(folder).status()["state"] == "finished"
    assert_alike(folder, folder_of(one), rtol=1e-3)
    assert [entry["processes"] for entry in RunFolder(folder).read("environment.json")] == [2, 2, 1]


@pytest.mark.parametrize(
    ("overrides", "fragment"),
    [
        (["cell.mu=1.5"], "cell.mu=1.5 is not allowed"),
        (["hydra.mode=MULTIRUN"], "no sweep"),
    ],
)
def test_a_mistake_is_said_once_with_exit_code_2(tmp_path: Path, overrides: list[str], fragment: str) -> None:
    process = torchrun("-m", "momentum_exp", *overrides, processes=2, cwd=tmp_path)
    out, errors = process.communicate(timeout=100)
    (said,) = [line for line in errors.splitlines() if line.startswith("momentum_exp: ")]
    assert fragment in said
    assert out == ""
    assert re.findall(r"exitcode *: (\S+)", errors)[-1] == "2"
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_of_any_process_is_seen_and_ends_the_run(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(
        "import os\n"
        "from momentum_exp import __main__\n"
        "from momentum_exp.runs import run\n"
        "def broken(*arguments):\n"
        "    raise ZeroDivisionError('a bug')\n"
        "if os.environ['RANK'] == '1':\n"
        "    run.prepare = broken\n"
        "__main__.main()\n"
    )
    process = torchrun(str(script), *LONG, f"paths.runs={tmp_path / 'runs'}", processes=2, cwd=tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.count("ZeroDivisionError: a bug") == 1
