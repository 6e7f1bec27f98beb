"""Which process may write a folder, a run's above all: a claim, a file that its owner touches as long as it lives.

It holds between machines that share the folder, on network file systems without flock, too: a claim is a file that
is made exclusively (filelock's SoftFileLease). One whose owner is gone from this machine is taken over at once; one
whose owner can't be looked at, after it was watched for LEASE_SECONDS and nobody touched it: clocks of other machines
are never trusted. Exactly one process takes a claim over.

What is guaranteed: at most one process holds a claim, and one that lost it (it was suspended, or cut off from the
file system, for longer than LEASE_SECONDS) writes nothing more once it has looked, which it does before each write.
What was between this look and the end of the write when the process was suspended is still written: one line, or one
whole file.
"""

import contextlib
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import OwnerRecord, SoftFileLease, Timeout

CLAIM = ".claim"
LEASE_SECONDS, HEARTBEAT_SECONDS = 60.0, 10.0
POLL_SECONDS = 0.1


class Busy(Exception):
    """Another process is at work on this run; the message says so."""

    def __init__(self, message: str = "another process is at this run; nothing to do here.") -> None:
        super().__init__(message)


class Lost(Busy):
    """Another process has taken the claim over while this one did not answer."""


class FolderClaim:
    """The claim on one folder. Who holds it may take it again through the same object."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lease = SoftFileLease(
            folder / CLAIM,
            lease_duration=LEASE_SECONDS,
            heartbeat_interval=HEARTBEAT_SECONDS,
            thread_local=False,  # the heartbeat's thread and the run's share it
        )

    @contextlib.contextmanager
    def held(self, wait: float = 0.0) -> Iterator[None]:
        """Hold the claim within the context.

        Raises Busy where a living process still has it after `wait` seconds, OSError as it comes. A claim without a
        heartbeat whose owner this machine can't look at is watched first, for LEASE_SECONDS.
        """
        give_up = time.monotonic() + wait
        while True:
            try:
                self._acquire()
                break
            except Timeout:
                if time.monotonic() >= give_up:
                    raise Busy from None
                time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self._lease.release()

    def _acquire(self) -> None:
        try:
            self._lease.acquire(timeout=0)
        except Timeout:
            if alive(self.folder):
                raise
            owner, seen = self._lease.owner, self._touched()
            if not gone(owner):
                whose = f"pid {owner.pid} on {owner.hostname}" if owner else "another process"
                print(
                    f"{self.folder}: claimed by {whose}, which gives no sign of life; it is taken over if that stays "
                    f"so for {LEASE_SECONDS:g} seconds.",
                    flush=True,
                )
                with contextlib.suppress(Timeout):
                    self._lease.acquire(timeout=1.5 * LEASE_SECONDS)
                    return
                if self._touched() != seen or self._lease.owner != owner:
                    raise
            self._remove(owner)
            self._lease.acquire(timeout=0)

    def _touched(self) -> int | None:
        try:
            return (self.folder / CLAIM).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _remove(self, dead: OwnerRecord | None) -> None:
        """Remove the claim of `dead`, where the file system can't exchange two names (NFS), on which filelock relies.

        Of several processes one can rename it. Who finds that it renamed the claim of a successor puts it back;
        should a third have been faster, the successor finds its claim gone and stops before it writes.
        """
        aside = self.folder / f"{CLAIM}.{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):  # another was faster
            os.rename(self.folder / CLAIM, aside)
            if SoftFileLease(aside).owner != dead:
                with contextlib.suppress(FileExistsError):
                    os.link(aside, self.folder / CLAIM)
            aside.unlink()

    def check(self) -> None:
        """Raise Lost where the claim was held and is no more. To be called before each write."""
        if self._lease.is_locked and not self._ours():
            time.sleep(0.1)  # who finds a stale claim renewed puts it back: look twice
            if not self._ours():
                raise Lost("another process has taken this run over while this one did not answer; it stops here.")

    def _ours(self) -> bool:
        owner = self._lease.owner
        return self._lease.compromise is None and owner is not None and owner.token == self._lease.token


def alive(folder: Path) -> bool:
    """Whether a process is at work in `folder`: there is a claim, and nothing says that its owner is gone."""
    silent = silent_seconds(folder)
    if silent is None or silent > LEASE_SECONDS:
        return False
    return not gone(SoftFileLease(folder / CLAIM).owner)


def gone(owner: OwnerRecord | None) -> bool:
    """Whether a claim's owner is a process of this machine that is no more."""
    return owner is not None and owner.hostname == socket.gethostname() and not exists(owner.pid)


def silent_seconds(folder: Path) -> float | None:
    """Seconds since the claim on `folder` was touched, by the clock of its file system; None: there is no claim.

    Where nothing can be written, by this machine's clock.
    """
    try:
        touched = (folder / CLAIM).stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        with tempfile.TemporaryFile(dir=folder) as now:
            now.write(b"now")
            now.flush()
            return os.fstat(now.fileno()).st_mtime - touched
    except OSError:
        return time.time() - touched


def exists(pid: int) -> bool:
    """Whether this machine has a living process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return not is_zombie(pid)


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and only its parent has not looked yet; False where there is no /proc to tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
