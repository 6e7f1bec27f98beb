"""Trackers kept in their place: none of them ends a run by failing, only by raising Stopped."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from momentum_exp.tracking.tracker import Tracker


class Mirrors:
    """Several trackers as one. One that fails once it has started is warned about once and told only of the end."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = trackers
        self._failed: list[Tracker] = []

    def start(self, total_steps: int, done_steps: int) -> None:
        """Start each. Raises what they raise: a service that was asked for and is not there is worth knowing now."""
        for tracker in self._trackers:
            tracker.start(total_steps, done_steps)

    def record(self, record: Mapping[str, Any]) -> None:
        for tracker in self._trackers:
            if tracker not in self._failed:
                with self._dropped_on_failure(tracker):
                    tracker.record(record)

    def finish(self, summary: Mapping[str, Any], state: str) -> None:
        for tracker in self._trackers:
            with self._dropped_on_failure(tracker):
                tracker.finish(summary, state)

    @contextlib.contextmanager
    def _dropped_on_failure(self, tracker: Tracker) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if tracker not in self._failed:
                self._failed.append(tracker)
                warnings.warn(
                    f"{type(tracker).__name__} failed and is left out from here on ({type(error).__name__}: {error}). "
                    "The records in the run folder are complete",
                    stacklevel=2,
                )
