"""A run on several processes is the run on one: its curve, its diagnostics, its folder, its ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hydra import compose, initialize_config_dir

from momentum_exp.command_line import conf_dir, register_resolvers
from momentum_exp.config import register
from momentum_exp.data import Batch, ptb
from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.run import run
from momentum_exp.training.distributed import ALONE, ProcessLost, Ranks, current_ranks

ALL = ("trainer=cpu", "trainer.threads=1", "trainer.log_every=1", "diagnostics.every=2", "diagnostics.figures=false")
SMALL = (*ALL, "cell.hidden_size=6", "trainer.epochs=2")
GENERATED = ("data.steps_per_epoch=4", "data.limit=7", "trainer.batch_size=4")
JOBS = {
    "a last batch of one row, batches that no number divides": ("data.limit=40", "trainer.batch_size=13"),
    "fewer rows than processes": ("data.limit=5", "trainer.batch_size=2", "cell=momentumrnn"),
    "complex weights": ("cell=urnn", "data.limit=10", "trainer.batch_size=5"),
    "a constrained weight": (
        "cell=dtriv",
        "cell.rebase=2",
        "data.limit=20",
        "trainer.batch_size=5",
        "optimizer.lr=1e-4",
    ),
    "frames of sequences of different lengths": ("data=speech", "trainer.batch_size=5"),
    "such sequences packed": ("data=speech", "trainer.batch_size=5", "cell.bidirectional=true"),
    "generated labels": (
        "data=copying",
        "data.length=4",
        "data.steps_per_epoch=4",
        "data.limit=7",
        "trainer.batch_size=4",
    ),
    "generated numbers": (
        "data=adding",
        "data.length=6",
        "data.steps_per_epoch=4",
        "data.limit=7",
        "trainer.batch_size=4",
    ),
    "streams of words that carry their state": (
        *(
            "data=ptb",
            "cell=srlstm",
            "cell.num_layers=2",
            "trainer.batch_size=4",
            "data.bptt=7",
            "data.bptt_varies=false",
        ),
        *("task.dropout_embedding=0", "task.dropout_input=0", "task.dropout_output=0", "cell.dropout=0"),
        *("cell.weight_dropout=0", "task.embedding_size=6", "task.tied=true", "optimizer.lr=1"),
    ),
}
TIMES = ("seconds", "eval_seconds")


def torchrun(*arguments: str, processes: int, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """A nested record as one mapping from places to values, times left out."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() if key not in TIMES for k, v in flat(item, f"{name}/{key}").items()}
    if isinstance(value, list):
        return {k: v for place, item in enumerate(value) for k, v in flat(item, f"{name}/{place}").items()}
    return {name: value}


def records(folder: Path) -> dict[str, Any]:
    return flat([json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()])


def assert_alike(one: Path, other: Path, rtol: float) -> None:
    """The same records, their numbers within a tolerance."""
    found, expected = records(one), records(other)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, str) or value is None:
            assert found[key] == value, key
        else:
            np.testing.assert_allclose(found[key], value, rtol, atol=1e-5, err_msg=f"{other} {key}")


def folder_of(root: Path) -> Path:
    (folder,) = (path for path in root.iterdir() if path.is_dir())
    return folder


def run_here(*overrides: str) -> None:
    register()
    register_resolvers()
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            run(compose("config", overrides=list(overrides)), overrides)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def test_three_processes_do_what_one_does(tmp_path: Path, ptb_root: Path, speech_root: Path) -> None:
    """Losses, metrics, gradient norms, those of every parameter and through time, gates, the evaluation of each row."""
    roots = {"speech": f"data.root={speech_root / 'speech'}", "ptb": f"data.root={ptb_root / 'ptb'}"}
    jobs = []
    for number, job in enumerate(JOBS.values()):
        root = [roots[data] for data in roots if f"data={data}" in job]
        jobs.append([*SMALL, *job, *root, f"paths.runs={tmp_path / 'three' / str(number)}"])
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps({"jobs": jobs, "tokens": ptb.TOKENS, "types": ptb.TYPES}))
    process = torchrun(str(Path(__file__).with_name("several_ranks.py")), str(file), processes=3)
    for number, overrides in enumerate(jobs):
        run_here(*overrides[:-1], f"paths.runs={tmp_path / 'one' / str(number)}")
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert out.count(": finished\n") == len(jobs)
    for number, name in enumerate(JOBS):
        one, three = (folder_of(tmp_path / which / str(number)) for which in ("one", "three"))
        assert one.name == three.name
        assert_alike(three, one, rtol=1e-4)
        found = records(three)
        losses = [(value, found[key]) for key, value in records(one).items() if key.endswith("_loss")]
        np.testing.assert_allclose(*np.transpose(losses), rtol=1e-5, err_msg=name)
        with np.load(one / "diagnostics.npz") as before, np.load(three / "diagnostics.npz") as after:
            assert before.files == after.files
            for array in before.files:
                np.testing.assert_allclose(after[array], before[array], rtol=1e-4, atol=1e-6, err_msg=f"{name} {array}")
        saved = torch.load(three / "checkpoint.pt", weights_only=True)
        assert saved["numerics"]["processes"] == 3
        assert [entry["processes"] for entry in RunFolder(three).read("environment.json")] == [3]
        assert [entry["processes"] for entry in RunFolder(one).read("environment.json")] == [1]


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
    assert said == f"momentum_exp: {folder}: interrupted after step {status['step']} of 60; the same command goes on."
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


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 20])
def test_every_row_is_one_process_s_and_shares_are_even(size: int, rows: int) -> None:
    batch = Batch(torch.arange(rows)[:, None], torch.arange(rows), torch.arange(rows))
    counted = []
    for rank in range(size):
        ranks = Ranks(rank, size)
        share = ranks.share(batch)
        assert share.inputs[:, 0].tolist() == share.targets.tolist()
        assert share.lengths_B is not None
        assert share.lengths_B.tolist() == share.targets.tolist()
        if ranks.counted(1.0):
            counted.append(share.targets.tolist())
        else:
            assert len(share.targets) == 1
    assert [row for part in counted for row in part] == list(range(rows))
    assert max(map(len, counted)) - min(map(len, counted)) <= (1 if len(counted) == size else 0)


def test_alone_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_ranks() is ALONE
    assert (ALONE.first, ALONE.several, ALONE.speaks) == (True, False, True)
    batch = Batch(torch.zeros(2, 1), torch.zeros(2))
    assert ALONE.share(batch) is batch
    ALONE.call()
    ALONE.leave()


class Store:
    """What of torch's store is used, on a dict, as one process of several sees it."""

    def __init__(self, **content: str) -> None:
        self.content = {key: value.encode() for key, value in content.items()}

    def check(self, keys: list[str]) -> bool:
        return all(key in self.content for key in keys)

    def get(self, key: str) -> bytes:
        return self.content[key]

    def set(self, key: str, value: str) -> None:
        self.content[key] = value.encode()


def test_a_process_that_failed_waits_for_nobody_and_nobody_for_it() -> None:
    store = Store()
    Ranks(2, 4, store=store).leave(failed=True)
    with pytest.raises(ProcessLost, match="process 2 of 4 has failed; it says why"):
        Ranks(0, 4, store=store).call()
    store = Store(failed="2")
    third = Ranks(3, 4, store=store)
    with pytest.raises(ProcessLost, match="process 2 of 4"):
        third.called()
    assert not third.speaks
    third.leave()


def test_the_first_process_s_decision_outweighs_a_failure() -> None:
    """It has ended well, or failed itself and says so."""
    store = Store(failed="1")
    Ranks(0, 3, store=store).leave(failed=True)
    assert not Ranks(2, 3, store=store).called()
    assert store.check(["left"])


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
