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

from omegaconf import OmegaConf

from momentum_exp.config import Config
from momentum_exp.errors import UserError
from momentum_exp.files import write_text_whole
from momentum_exp.runs.claim import CLAIM, FolderClaim
from momentum_exp.runs.identity import Identity
from momentum_exp.training.checkpoint import CURRENT, PREVIOUS


class RunFolder:
    """The folder of one run: config, status, records, checkpoint, diagnostics, figures."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.claim = FolderClaim(path)

    @property
    def metrics(self) -> Path:
        """The records, the truth about the run."""
        return self.path / "metrics.jsonl"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is one to go on from."""
        return any((self.path / name).exists() for name in (CURRENT, PREVIOUS))

    @property
    def has_records(self) -> bool:
        """Whether anything was measured."""
        return self.metrics.is_file() and self.metrics.stat().st_size > 0

    def read(self, name: str) -> Any:
        """The content of a JSON file; None where there is none yet. Raises UserError when it cannot be read."""
        path = self.path / name
        try:
            return json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}. Write paths.runs=FOLDER") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is damaged ({error}). Write force=true to run again") from error

    def write(self, name: str, content: Any) -> None:
        """Replace a JSON file. Raises Lost where another process has taken the run over."""
        self.claim.check()
        write_text_whole(self.path / name, json.dumps(content, indent=1) + "\n")

    def status(self) -> dict[str, Any]:
        """The content of status.json; empty where there is none yet. Raises UserError when it is damaged."""
        content = self.read("status.json")
        if not isinstance(content, dict | None):
            raise UserError(f"{self.path / 'status.json'} is damaged (no JSON object). Write force=true to run again")
        return content or {}

    def set_status(self, state: str, **facts: Any) -> None:
        """Replace the state (running, finished, failed, diverged, interrupted), keeping earlier facts."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        content = {**self.status(), "state": state, "updated": now, **facts}
        if state == "running":
            content.setdefault("started", now)
            for stale in ("error", "reason", "traceback", "finished"):
                content.pop(stale, None)
            content |= {"pid": os.getpid(), "host": socket.gethostname()}
        else:
            content["finished"] = now
        self.write("status.json", content)

    def add_environment(self, facts: dict[str, Any]) -> None:
        """Append to environment.json what this process runs on: an entry for each process that the run goes on from."""
        earlier = (self.read("environment.json") or []) if self.has_checkpoint else []
        self.write("environment.json", [*(earlier if isinstance(earlier, list) else [earlier]), facts])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and be its only writer; what claims and kills mean to each other, `FolderClaim` says.

        Raises Busy when another process is at it, UserError when the folder cannot be made or written.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(self.claim.held())
            except OSError as error:
                raise UserError(
                    f"cannot write the run folder {self.path}: {error.strerror or error}. "
                    "Write paths.runs=FOLDER with a folder that can be written"
                ) from error
            yield

    def clear(self) -> None:
        """Remove what an earlier run left, for force=true.

        A kill in between leaves a run to be gone on with or started again, never half of one that calls itself
        finished, nor records without a state.
        """
        self.write("status.json", {"state": "interrupted"})
        for path in (self.path / CURRENT, self.path / PREVIOUS, self.metrics):
            path.unlink(missing_ok=True)
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif not entry.name.startswith(CLAIM):
                entry.unlink()

    def sweep_up(self) -> None:
        """Remove what a process left that was killed while it wrote a file."""
        for entry in self.path.glob(".*"):
            if entry.is_file() and not entry.name.startswith(CLAIM):
                entry.unlink(missing_ok=True)

    def describe(self, config: Config, me: Identity, overrides: list[str]) -> None:
        """Write what the run is: `.hydra/config.yaml` (resolved), `.hydra/overrides.yaml`, `identity.json`."""
        (self.path / ".hydra").mkdir(exist_ok=True)
        write_text_whole(
            self.path / ".hydra" / "config.yaml",
            OmegaConf.to_yaml(OmegaConf.structured(config), resolve=True),
        )
        write_text_whole(self.path / ".hydra" / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(overrides)))
        facts = {"hash": me.hash, "group": me.group, "name": me.name, "cell": me.cell, "data": me.data}
        self.write("identity.json", facts)
