"""A run's folder: one writer at a time, its state always readable."""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from momentum_exp.config import Config
from momentum_exp.errors import UserError
from momentum_exp.files import write_text_whole
from momentum_exp.runs.identity import Identity
from momentum_exp.training.checkpoint import CURRENT, PREVIOUS

LOCK = ".lock"


class Busy(Exception):
    """Another process is at work on this run."""


class RunFolder:
    """The folder of one run: config, status, records, checkpoint, diagnostics, figures."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def metrics(self) -> Path:
        """The records, the truth about the run."""
        return self.path / "metrics.jsonl"

    def status(self) -> dict[str, Any]:
        """The content of status.json; empty where there is none yet.

        Raises UserError when the file cannot be read or does not hold a JSON object.
        """
        path = self.path / "status.json"
        try:
            content = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}. Write paths.runs=FOLDER") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is damaged ({error}). Write force=true to run again") from error
        if not isinstance(content, dict):
            raise UserError(f"{path} is damaged (no JSON object). Write force=true to run again")
        return content

    def set_status(self, state: str, **facts: Any) -> None:
        """Replace the state (running, finished, failed, diverged, interrupted), keeping earlier facts."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        content = {**self.status(), "state": state, "updated": now, **facts}
        if state == "running":
            content.setdefault("started", now)
            for stale in ("error", "traceback", "finished"):
                content.pop(stale, None)
            content |= {"pid": os.getpid(), "host": socket.gethostname()}
        else:
            content["finished"] = now
        write_text_whole(self.path / "status.json", json.dumps(content, indent=1) + "\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and be its only writer; the lock falls with the process, however that ends.

        Raises Busy when another process holds it, UserError when the folder cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / LOCK, timeout=0)
            lock.acquire()
        except Timeout:
            raise Busy(str(self.path)) from None
        except OSError as error:
            raise UserError(
                f"cannot write the run folder {self.path}: {error.strerror or error}. "
                "Write paths.runs=FOLDER with a folder that can be written"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def clear(self) -> None:
        """Remove what an earlier run left, for force=true.

        What a run goes on from is removed first: a kill in between leaves a run to be started again, never half
        of one that calls itself finished.
        """
        for name in ("status.json", CURRENT, PREVIOUS):
            (self.path / name).unlink(missing_ok=True)
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != LOCK:
                entry.unlink()

    def sweep_up(self) -> None:
        """Remove what a process left that was killed while it wrote a file."""
        for entry in self.path.glob(".*"):
            if entry.is_file() and entry.name != LOCK:
                entry.unlink()

    def describe(self, config: Config, me: Identity, overrides: list[str]) -> None:
        """Write what the run is: `.hydra/config.yaml` (resolved), `.hydra/overrides.yaml`, `identity.json`."""
        (self.path / ".hydra").mkdir(exist_ok=True)
        write_text_whole(
            self.path / ".hydra" / "config.yaml",
            OmegaConf.to_yaml(OmegaConf.structured(config), resolve=True),
        )
        write_text_whole(self.path / ".hydra" / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(overrides)))
        facts = {"hash": me.hash, "group": me.group, "name": me.name, "cell": me.cell, "data": me.data}
        write_text_whole(self.path / "identity.json", json.dumps(facts, indent=1) + "\n")
