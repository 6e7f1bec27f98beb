"""Where a run's numbers come from: command, commit, device, versions, time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from momentum_exp.paper.run_record import RunRecord

MACHINES_OWN = ("paths.", "data.root=", "data.url=", "hydra")
"""Overrides that say where something lies on one machine, and change no result."""


@dataclass(frozen=True)
class RunFacts:
    """What a run's folder says about its making. `processes` has one entry a process that worked on it."""

    command: str
    processes: Sequence[Mapping[str, Any]]
    seconds: float | None

    def each(self, name: str) -> list[str]:
        """The different values of a fact over the processes; `not recorded` where one has none."""
        return list(dict.fromkeys(str(process.get(name) or "not recorded") for process in self.processes))

    @property
    def commits(self) -> list[str]:
        """Short commits, with `+` where the checkout had changes."""
        return list(
            dict.fromkeys(
                str(process["commit"])[:7] + ("+" if process.get("dirty") else "")
                if process.get("commit")
                else "not recorded"
                for process in self.processes
            )
        ) or ["not recorded"]


def run_facts(run: RunRecord) -> RunFacts:
    """Read it from the folder; what is missing there is missing here."""
    return RunFacts(command(run), environments(run), run.status.get("seconds"))


def environments(run: RunRecord) -> list[dict[str, Any]]:
    """The content of environment.json; nothing where there is none or it is damaged."""
    try:
        content = json.loads((run.path / "environment.json").read_text())
    except (OSError, ValueError):
        return []
    entries = content if isinstance(content, list) else [content]
    return [entry for entry in entries if isinstance(entry, dict)]


def command(run: RunRecord) -> str:
    """What makes the run again, without folders of the machine that made it."""
    file = run.path / ".hydra" / "overrides.yaml"
    overrides = list(map(str, OmegaConf.load(file))) if file.exists() else []
    return " ".join(["python -m momentum_exp", *(part for part in overrides if not part.startswith(MACHINES_OWN))])
