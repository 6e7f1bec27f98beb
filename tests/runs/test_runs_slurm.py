"""On a real SLURM: jobs of a sweep, and a job that is put back in the middle of its run (docs/slurm.md says how)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from momentum_exp.runs.folder import RunFolder

LAUNCHER = ("-m", "hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=30")
TINY = ("trainer=cpu", "trainer.threads=1", "cell.hidden_size=4", "data.limit=20", "diagnostics.figures=false")


def slurm_is_up() -> bool:
    if shutil.which("sinfo") is None:
        return False
    done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and ("idle" in done.stdout or "mix" in done.stdout)


pytestmark = pytest.mark.skipif(not slurm_is_up(), reason="no SLURM here (docs/slurm.md says how to start one)")


def start(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "momentum_exp", *LAUNCHER, *TINY, *overrides],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def records(folder: Path) -> list[Any]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if "seconds" not in k} for line in lines]


def put_back(how: signal.Signals | None, job: str) -> None:
    """As SLURM does for a job of higher priority, or as it warns of a time limit."""
    command = ["scontrol", "requeue", job] if how is None else ["scancel", f"--signal={how.name[3:]}", job]
    subprocess.run(command, check=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", [None, signal.SIGUSR2], ids=["requeue", "time limit"])
def test_a_job_that_is_put_back_goes_on_from_its_checkpoint(tmp_path: Path, how: signal.Signals | None) -> None:
    """The checkpoint is the interruption's own."""
    process = start(tmp_path, "trainer.epochs=400", "trainer.log_every=100", "seed=0", "cell.mu=0.6")
    deadline = time.monotonic() + 200
    records_file = None
    while records_file is None or len(records_file.read_text().splitlines()) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
        records_file = next(tmp_path.glob("runs/digits-*/metrics.jsonl"), None)
    (log,) = tmp_path.glob("runs/.sweeps/*/.submitit/*/*_log.out")
    put_back(how, log.parent.name)
    out, _ = process.communicate(timeout=400)
    assert "1 finished" in out, out
    assert process.returncode == 0
    (folder,) = tmp_path.glob("runs/digits-*")
    assert RunFolder(folder).status()["state"] == "finished"
    assert len(RunFolder(folder).read("environment.json")) == 2
    whole = records(folder)
    steps = [entry["step"] for entry in whole if entry["kind"] == "epoch"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 400
    said = "".join(file.read_text() for file in tmp_path.glob("runs/.sweeps/*/.submitit/*/*_log.out"))
    assert "Resuming after step" in said


@pytest.mark.timeout(400)
def test_the_jobs_of_a_sweep_end_in_one_table(tmp_path: Path) -> None:
    process = start(tmp_path, "trainer.max_steps=2", "seed=0,1", "cell.mu=0.6,1.5")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "jobs 4, runs 4: 2 finished, 2 failed" in out
    assert len(list(tmp_path.glob("runs/digits-*"))) == 2
