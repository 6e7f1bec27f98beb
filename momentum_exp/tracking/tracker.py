"""What follows a run while it trains: a console, a web service. The records stay the truth."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol


class Tracker(Protocol):
    """Told of a run as it goes on. Making one leaves nothing on disk; `start` may."""

    def start(self, total_steps: int, done_steps: int) -> None:
        """Training begins, or goes on after `done_steps` of `total_steps` optimizer steps."""

    def record(self, record: Mapping[str, Any]) -> None:
        """One record, as it was written to `metrics.jsonl` (tracking/records.py)."""

    def finish(self, summary: Mapping[str, Any], state: str) -> None:
        """The run has ended: its `selection.summary` and the state in its status file.

        Called exactly once, whatever happened, even where `start` was never reached.
        """


def scalars(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a record under slash-separated names such as `epoch/test_accuracy` or `gates/l0/low/f`.

    Values that were not finite (`None`) are left out.
    """
    prefix = record["kind"]
    if "layer" in record:
        prefix += f"/l{record['layer']}" + ("_reverse" if record["direction"] else "")
    for key, value in record.items():
        if key not in ("kind", "step", "layer", "direction"):
            yield from _numbers(f"{prefix}/{key}", value)


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """The numbers inside nested mappings and lists, each under its own name."""
    if isinstance(value, Mapping | list):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _numbers(f"{name}/{key}", item)
    elif value is not None:
        yield name, value
