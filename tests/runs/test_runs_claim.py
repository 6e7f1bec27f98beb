"""Claims between processes: one owner at a time, a dead one replaced by exactly one, a replaced one silent."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from filelock import SoftFileLease

from momentum_exp.runs import claim as claim_module
from momentum_exp.runs.claim import CLAIM, Busy, FolderClaim, Lost, alive, silent_seconds
from momentum_exp.runs.folder import RunFolder

HOLD = """
import sys, time
from pathlib import Path
from momentum_exp.runs import claim
claim.LEASE_SECONDS, claim.HEARTBEAT_SECONDS = 1.0, 0.2
mine = claim.FolderClaim(Path(sys.argv[1]))
with mine.held():
    print("held", flush=True)
    for _ in range(600):
        time.sleep(0.1)
        mine.check()
"""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_module, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(claim_module, "HEARTBEAT_SECONDS", 0.2)


@pytest.fixture(params=["exchange", "no exchange"])
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a file system that can't exchange two names, as NFS: there the kernel refuses renameat2 with a flag."""
    if request.param == "no exchange":
        monkeypatch.setattr("filelock._filesystem._exchange._rename_call", lambda: (lambda *_: errno.EINVAL, 2))


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the claim on the test's folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def elsewhere(folder: Path) -> None:
    """Make the claim one of another machine."""
    text = (folder / CLAIM).read_text()
    (folder / CLAIM).write_text(text.replace(f"host={os.uname().nodename}", "host=elsewhere"))


def test_one_at_a_time_and_the_owner_again(tmp_path: Path) -> None:
    mine, other = FolderClaim(tmp_path), FolderClaim(tmp_path)
    assert not alive(tmp_path)
    with mine.held():
        assert alive(tmp_path)
        began = time.monotonic()
        with pytest.raises(Busy, match="another process is at this run"), other.held():
            pass
        assert time.monotonic() - began < 0.5, "a living owner is not waited for"
        with mine.held():
            mine.check()
        mine.check()
        assert alive(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with other.held():
        other.check()


def test_of_many_one_takes_over_from_a_killed_process(
    tmp_path: Path, owner: subprocess.Popen[str], exchange: None
) -> None:
    with pytest.raises(Busy), FolderClaim(tmp_path).held():
        pass
    owner.kill()
    owner.wait()
    assert (tmp_path / CLAIM).exists()
    assert not alive(tmp_path)

    def take(_: int) -> bool:
        try:
            with FolderClaim(tmp_path).held():
                time.sleep(0.5)
                return True
        except Busy:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1


def test_a_killed_process_that_nobody_has_waited_for_is_gone(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    owner.kill()
    while psutil.Process(owner.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not alive(tmp_path)
    with FolderClaim(tmp_path).held():
        pass


def test_a_claim_of_another_machine_is_watched_before_it_is_taken_over(
    tmp_path: Path, owner: subprocess.Popen[str], exchange: None, capsys: pytest.CaptureFixture[str]
) -> None:
    owner.kill()
    owner.wait()
    elsewhere(tmp_path)
    with pytest.raises(Busy), FolderClaim(tmp_path).held():  # it was heard of just now
        pass
    os.utime(tmp_path / CLAIM, (0, 0))  # long ago by the other machine's clock, which proves nothing
    began = time.monotonic()
    with FolderClaim(tmp_path).held():
        assert 0.9 < time.monotonic() - began < 3
    assert f"claimed by pid {owner.pid} on elsewhere, which gives no sign of life" in capsys.readouterr().out


def test_a_suspended_process_is_replaced_and_writes_nothing_more(
    tmp_path: Path, owner: subprocess.Popen[str], exchange: None
) -> None:
    owner.send_signal(signal.SIGSTOP)
    time.sleep(1.2)
    assert not alive(tmp_path)
    with FolderClaim(tmp_path).held():
        owner.send_signal(signal.SIGCONT)
        _, errors = owner.communicate(timeout=10)
        assert "Lost: another process has taken this run over" in errors
        assert (tmp_path / CLAIM).exists()


def test_a_successor_that_is_renamed_by_mistake_is_put_back(tmp_path: Path) -> None:
    with FolderClaim(tmp_path).held():
        dead = SoftFileLease(tmp_path / CLAIM).owner
    with (successor := FolderClaim(tmp_path)).held():
        FolderClaim(tmp_path)._remove(dead)
        successor.check()
        assert [path.name for path in tmp_path.iterdir()] == [CLAIM]


def test_who_lost_the_claim_leaves_the_folder_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.locked():
        folder.set_status("running")
        (tmp_path / CLAIM).unlink()
        with FolderClaim(tmp_path).held():
            with pytest.raises(Lost):
                folder.set_status("finished")
            assert folder.status()["state"] == "running"


def test_silence_is_measured_by_the_file_systems_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert silent_seconds(tmp_path) is None
    assert silent_seconds(tmp_path / "missing") is None
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with FolderClaim(tmp_path).held():
        silent = silent_seconds(tmp_path)
        assert silent is not None
        assert 0 <= silent < 0.5
