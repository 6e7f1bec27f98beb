"""All that a run folder tells, read without ever failing: what can't be read is a problem to show."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from momentum_exp.config import Config, schema_keys
from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS, Metric
from momentum_exp.runs.state import RunState, run_state
from momentum_exp.tracking.records import read_records
from momentum_exp.tracking.selection import CHOSEN, summary

SHORT = ("state", "name", "hash", "group", "cell", "data", "seed", "path")
"""What a run is asked for by beside its configuration's keys."""


@dataclass(frozen=True)
class Facts:
    """`config` is flat, by dotted key; `environment` is that of the last process, `processes` how many there were.

    `metrics` are those of the epoch that each selection rule chose, in the records' units, None where a rule can't
    choose. `problems` are files that are missing, damaged, or of another version.
    """

    path: Path
    state: RunState
    identity: dict[str, Any]
    config: dict[str, Any]
    overrides: list[str]
    status: dict[str, Any]
    environment: dict[str, Any]
    processes: int
    metrics: dict[str, dict[str, Any] | None]
    problems: list[str] = field(default_factory=list)

    @property
    def metric(self) -> Metric:
        """What the run's task is judged by."""
        return METRICS.get(str(self.config.get("task.name")), METRICS["classification"])

    def value(self, rule: str, split: str = "test") -> float | None:
        """The task's metric on a split, at the epoch that a selection rule chose."""
        found = (self.metrics.get(rule) or {}).get(f"{split}_{self.metric.name}")
        return float(found) if isinstance(found, int | float) else None

    def get(self, key: str) -> Any:
        """What `list --where` asks for: a key of the configuration, or one of SHORT; None where the run has none."""
        match key:
            case "state":
                return self.state.state
            case "path":
                return str(self.path)
            case "name" | "hash" | "group" | "cell" | "data":
                return self.identity.get(key)
            case _:
                return self.config.get(key)


def read_facts(path: Path) -> Facts:
    """What the folder `path` tells of its run. Never raises for what the folder holds."""
    problems: list[str] = []

    def content(name: str, default: Any, *kinds: type) -> Any:
        try:
            text = (path / name).read_text()
            found = yaml.safe_load(text) if name.endswith(".yaml") else json.loads(text)
        except FileNotFoundError:
            problems.append(f"{name} is missing")
            return default
        except (OSError, ValueError, yaml.YAMLError) as error:
            problems.append(f"{name} can't be read ({' '.join(str(error).split())})")
            return default
        if not isinstance(found, kinds):
            problems.append(f"{name} can't be read (it holds something else)")
            return default
        return found

    status = content("status.json", {}, dict)
    identity = content("identity.json", {}, dict)
    config = flat(content(".hydra/config.yaml", {}, dict))
    overrides = content(".hydra/overrides.yaml", [], list)
    environment = content("environment.json", [], list, dict)
    entries = environment if isinstance(environment, list) else [environment]
    if config:
        problems += other_version(config)
    metrics = status.get("summary")
    if not isinstance(metrics, dict):
        metrics = metrics_so_far(path, METRICS.get(str(config.get("task.name"))), problems)
    return Facts(
        path,
        run_state(path),
        identity,
        config,
        [str(override) for override in overrides],
        status,
        entries[-1] if entries and isinstance(entries[-1], dict) else {},
        len(entries),
        metrics,
        problems,
    )


def metrics_so_far(path: Path, metric: Metric | None, problems: list[str]) -> dict[str, Any]:
    """Metrics of a run that has not finished, by selection rule; what is wrong with its records is a problem."""
    if metric is None:
        return {}
    try:
        records = read_records(path / "metrics.jsonl")
    except FileNotFoundError:
        problems.append("metrics.jsonl is missing")
        return {}
    except (OSError, UserError) as error:
        problems.append(str(error))
        return {}
    return summary([record for record in records if record["kind"] == "epoch"], metric)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration by dotted key."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def defaults() -> dict[str, Any]:
    """The schema's default for each key; None for one that must be given."""
    default: dict[str, Any] = {}
    for name, _ in schema_keys():
        value: Any = Config()
        for part in name.split("."):
            value = getattr(value, part)
        default[name] = None if value == "???" else value
    return default


def other_version(config: Mapping[str, Any]) -> list[str]:
    """What says that a run's configuration was written by another version, in words."""
    known = defaults()
    found = []
    if unknown := [key for key in config if key not in known]:
        found.append(f"made by another version: the present one has no {', '.join(unknown)}")
    if younger := [key for key in known if key not in config]:
        found.append(f"made by another version, before there was {', '.join(younger)}")
    return found


def all_rules(facts: Facts) -> dict[str, str]:
    """The test metric as it is written, by selection rule."""
    return {rule: facts.metric.show(facts.value(rule)) for rule in CHOSEN}
