"""What a run folder says of its run, whatever is in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from momentum_exp.runs.claim import FolderClaim
from momentum_exp.runs.state import NEEDED, RunState, run_state

PROGRESS = {"step": 25, "total_steps": 100, "seconds": 5.0}


def write(path: Path, **status: Any) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "status.json").write_text(json.dumps(status))
    return path


@pytest.mark.parametrize("state", ["interrupted", "failed", "diverged"])
def test_a_run_that_ended_early(tmp_path: Path, state: str) -> None:
    found = run_state(write(tmp_path, state=state, error="first\nsecond", **PROGRESS))
    assert found == RunState(state, 25, 100, 5.0, "first")
    assert (found.progress, found.seconds_left) == (0.25, 15.0)


def test_running_is_who_holds_the_claim_and_stale_who_does_not(tmp_path: Path) -> None:
    write(tmp_path, state="running", **PROGRESS)
    assert run_state(tmp_path).state == "stale"
    with FolderClaim(tmp_path).held():
        assert run_state(tmp_path).state == "running"
        write(tmp_path, state="failed")  # somebody retries it
        assert run_state(tmp_path).state == "running"
    assert run_state(tmp_path).state == "failed"


def test_a_finished_run_is_done_when_it_is_whole(tmp_path: Path) -> None:
    write(tmp_path, state="finished", step=100, total_steps=100, seconds=20.0)
    (tmp_path / ".hydra").mkdir()
    for name in NEEDED[1:]:
        found = run_state(tmp_path)
        assert found.state == "failed"
        assert name in found.error
        assert "force=true" in found.error
        (tmp_path / name).touch()
    assert run_state(tmp_path) == RunState("done", 100, 100, 20.0)
    assert run_state(tmp_path).seconds_left == 0


def test_what_is_not_there_or_half_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", tmp_path / "none" / "below"):
        assert run_state(path) == RunState("missing")
    (tmp_path / "checkpoint.previous.pt").touch()
    assert run_state(tmp_path).state == "interrupted"


def test_records_without_a_state_are_no_run_to_be_written_over(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    assert run_state(tmp_path) == RunState("missing")
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    assert run_state(tmp_path).state == "failed"
    assert "half deleted: status.json, identity.json" in run_state(tmp_path).error


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff", '{"state": 3}', '{"state": "dreaming"}'])
def test_a_damaged_status_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "status.json").write_bytes(content.encode("latin-1"))
    assert run_state(tmp_path).state == "failed"
    assert run_state(tmp_path).error


def test_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    found = run_state(write(tmp_path, state="interrupted", step="many", total_steps=None, seconds=True))
    assert (found.step, found.total_steps, found.seconds) == (None, None, None)
    assert (found.progress, found.seconds_left) == (None, None)
