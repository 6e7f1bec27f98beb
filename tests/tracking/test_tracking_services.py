"""W&B and TensorBoard: what they leave on disk, with no account and no network."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from momentum_exp.errors import UserError
from momentum_exp.tracking import make_trackers
from momentum_exp.tracking.tracker import scalars

IDENTITY = {"hash": "a1b2c3", "group": "d4e5f6", "name": "pdigits-lstm-n8-seed0"}
EPOCH = {"kind": "epoch", "epoch": 1, "step": 2, "test_accuracy": 0.5, "test_loss": None}

# One run interrupted after step 3, with a checkpoint at step 2, and resumed.
WANDB_RUN = """
import sys, time
from pathlib import Path
from momentum_exp.tracking import make_trackers
from momentum_exp.tracking.records import Records

folder, identity = Path(sys.argv[1]), {identity}
folder.mkdir()
records = Records(folder / "metrics.jsonl")
for state, done, last in (("interrupted", 0, 3), ("finished", 2, 4)):
    config = {{"cell": {{"mu": 0.6}}, "seed": 0}}
    trackers = make_trackers("wandb", run_dir=folder, identity=identity, config=config, tags=["trial"])
    records.truncate(done)
    for tracker in trackers:
        tracker.start(4, done)
    for step in range(done + 1, last + 1):
        record = {{"kind": "step", "step": step, "epoch": 1, "train_loss": step / 10}}
        records.append(record)
        for tracker in trackers:
            tracker.record(record)
    for tracker in trackers:
        tracker.finish({{"best_test": {{"test_accuracy": 0.75}}}}, state)
    time.sleep(1)  # W&B names its folders by the second
"""


def wandb_messages(path: Path) -> Iterator[Any]:
    """The messages of a .wandb file: after 7 bytes, each has a checksum, its length and a type (1: whole)."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, offset = path.read_bytes(), 7
    while offset < len(content):
        _, length, kind = struct.unpack_from("<IHB", content, offset)
        assert kind == 1
        offset += 7
        yield Record.FromString(content[offset : offset + length])
        offset += length


def entries(items: Any) -> dict[str, Any]:
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def test_wandb_offline_needs_no_account_and_a_resumed_run_is_whole(tmp_path: Path) -> None:
    quiet = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-c", WANDB_RUN.format(identity=IDENTITY), str(tmp_path / "run")],
        env={**quiet, **closed, "HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/run-a1b2c3.wandb"), key=os.path.getmtime)
    assert len(files) == 2  # the same W&B id, one folder a process
    told = [line for line in done.stdout.splitlines() if not line.startswith(IDENTITY["name"])]
    assert told == [f"To upload this run to Weights & Biases: wandb sync {file.parent}" for file in files]

    messages = list(wandb_messages(files[-1]))
    (run,) = [message.run for message in messages if message.HasField("run")]
    assert (run.run_id, run.run_group, run.display_name, list(run.tags)) == (
        "a1b2c3",
        "d4e5f6",
        "pdigits-lstm-n8-seed0",
        ["trial"],
    )
    assert entries(run.config.update)["cell"] == {"mu": 0.6}
    history = [entries(message.history.item) for message in messages if message.HasField("history")]
    assert [(row["_step"], row["step/train_loss"]) for row in history] == [
        (1, 0.1),
        (2, 0.2),
        (3, 0.3),
        (4, 0.4),
    ]
    summary: dict[str, Any] = {}
    for message in messages:
        summary |= entries(message.summary.update)
    assert (summary["state"], summary["best_test"]) == ("finished", {"test_accuracy": 0.75})
    assert [message.exit.exit_code for message in messages if message.HasField("exit")] == [0]


@pytest.mark.parametrize(("key", "why"), [(None, "it finds no API key"), ("short", "API key must have")])
def test_wandb_online_without_an_account_is_said_before_anything_starts(
    tmp_path: Path, command_line: Any, key: str | None, why: str
) -> None:
    elsewhere = str(tmp_path.parent / f"{tmp_path.name}-wandb")
    closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    folders = dict.fromkeys(("NETRC", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR"), elsewhere)
    account = {"WANDB_API_KEY": key or "", **folders, **closed}
    done = command_line("tracking=wandb", "tracking.mode=online", "data.limit=8", **account)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    for fragment in ("tracking.mode=online needs an account", why, "wandb login", "tracking.mode=offline"):
        assert fragment in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_files_are_readable_and_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    def track(done: int, last: int, loss: float, state: str) -> None:
        trackers = make_trackers("tensorboard", run_dir=tmp_path, identity=IDENTITY, config={})
        for tracker in trackers:
            tracker.start(4, done)
            for step in range(done + 1, last + 1):
                tracker.record({"kind": "step", "step": step, "epoch": 1, "train_loss": loss})
            tracker.finish({}, state)

    track(0, 3, 1.0, "interrupted")
    track(2, 4, 2.0, "finished")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("step/train_loss")] == [
        (1, 1.0),
        (2, 1.0),
        (3, 2.0),
        (4, 2.0),
    ]


def test_without_the_package_tensorboard_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("momentum_exp.tracking.tensorboard_tracker.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'momentum-exp\[tensorboard\]'"):
        make_trackers("tensorboard", run_dir=tmp_path, identity=IDENTITY, config={})


@pytest.mark.parametrize("name", ["none", "wandb", "tensorboard"])
def test_making_trackers_and_finishing_unstarted_ones_leaves_nothing_on_disk(tmp_path: Path, name: str) -> None:
    for tracker in make_trackers(name, run_dir=tmp_path, identity=IDENTITY, config={}):
        tracker.finish({}, "failed")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_service_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tracking=mlflow is unknown; write tracking=none, tracking=wandb"):
        make_trackers("mlflow", run_dir=tmp_path, identity=IDENTITY, config={})


def test_scalars_name_every_finite_number_of_each_kind() -> None:
    assert dict(scalars(EPOCH)) == {"epoch/epoch": 1, "epoch/test_accuracy": 0.5}
    gates = {"kind": "gates", "step": 1, "layer": 2, "direction": 1, "low": {"i": 0.1}, "high": {"i": None}}
    assert dict(scalars(gates)) == {"gates/l2_reverse/low/i": 0.1}
    assert dict(scalars(gates | {"direction": 0})) == {"gates/l2/low/i": 0.1}
    norms = {"kind": "parameters", "step": 1, "grad_norms": {"cell.weight_ih_l0": 0.3}}
    assert dict(scalars(norms)) == {"parameters/grad_norms/cell.weight_ih_l0": 0.3}
