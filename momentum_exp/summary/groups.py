"""Runs that differ in the seed alone belong together; what tells the groups apart is their label."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from momentum_exp.config import RESULT_GROUPS
from momentum_exp.tracking.run_record import RunRecord


@dataclass(frozen=True)
class Group:
    """The runs of one configuration, by seed. `settings` set it apart from its namesakes, if any."""

    runs: Sequence[RunRecord]
    settings: str

    @property
    def cell(self) -> str:
        return self.runs[0].identity["cell"]

    @property
    def data(self) -> str:
        return self.runs[0].identity["data"]

    @property
    def hidden_size(self) -> int:
        return int(self.runs[0].config["cell"]["hidden_size"])

    @property
    def label(self) -> str:
        """What a legend says: `momentumlstm, N = 256, mu = 0.3, n = 5`."""
        parts = [self.cell, f"N = {self.hidden_size}", self.settings, f"n = {len(self.runs)}"]
        return ", ".join(part for part in parts if part)


def group_runs(runs: Iterable[RunRecord]) -> list[Group]:
    """Groups in the order of their first run, each sorted by seed."""
    groups: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        groups[run.identity["group"]].append(run)
    namesakes: dict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for members in groups.values():
        namesakes[_name(members[0])].append(_settings(members[0]))
    return [
        Group(sorted(members, key=lambda run: run.seed), _difference(members[0], namesakes[_name(members[0])]))
        for members in groups.values()
    ]


def _name(run: RunRecord) -> tuple[str, str, int]:
    return run.identity["data"], run.identity["cell"], run.config["cell"]["hidden_size"]


def _settings(run: RunRecord) -> dict[str, Any]:
    return {
        f"{section}.{key}": value for section in RESULT_GROUPS for key, value in run.config.get(section, {}).items()
    }


def _difference(run: RunRecord, namesakes: Sequence[Mapping[str, Any]]) -> str:
    """The settings of `run` that are not the same in all its namesakes."""
    own = _settings(run)
    return ", ".join(
        f"{key.split('.')[-1]} = {value}"
        for key, value in own.items()
        if any(other.get(key) != value for other in namesakes)
    )
