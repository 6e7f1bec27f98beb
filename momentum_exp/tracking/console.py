"""The run on the user's screen: a progress bar on a terminal, plain lines anywhere else."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from momentum_exp.metrics import METRICS, Metric
from momentum_exp.tracking.tracker import Tracker

SECONDS_BETWEEN_LINES = 10.0
Forms = Mapping[str, Callable[[Any], str]]


def _metrics(word: str) -> dict[str, Callable[[Any], str]]:
    """Every task's metric but the loss: a run's records hold its own alone."""

    def form(metric: Metric) -> Callable[[Any], str]:
        return lambda value: word.format(metric.name) + metric.show(value)

    return {f"test_{metric.name}": form(metric) for metric in METRICS.values() if metric.name != "loss"}


BAR: Forms = {
    "epoch": "epoch {}".format,
    "train_loss": "loss {:.4f}".format,
    **_metrics("test "),
    "left": "{} left".format,
}
LINE: Forms = {
    "epoch": "epoch {}".format,
    "train_loss": "train loss {:.4f}".format,
    "test_loss": "test loss {:.4f}".format,
    **_metrics("test {} "),
    "left": "{} left".format,
}


def console_tracker(name: str, console: Console | None = None) -> Tracker:
    """The tracker that suits standard output: `ProgressBar` on a terminal, else `PlainLines`."""
    console = console or Console()
    return ProgressBar(name, console) if console.is_interactive else PlainLines(name)


class ProgressBar:
    """One bar a run: iterations, newest loss and test metric, time left."""

    def __init__(self, name: str, console: Console) -> None:
        self._name, self._console = name, console
        self._bar = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}", markup=False),
            console=console,
            expand=True,
        )

    def start(self, total_steps: int, done_steps: int) -> None:
        self._state = _Pace(total_steps, done_steps)
        self._console.print(self._name, style="bold", highlight=False)
        self._task = self._bar.add_task(self._name, total=total_steps, completed=done_steps, metrics="")
        self._bar.start()

    def record(self, record: Mapping[str, Any]) -> None:
        self._state.update(record)
        self._bar.update(self._task, completed=self._state.step, metrics="  ".join(self._state.texts(BAR)))

    def finish(self, summary: Mapping[str, Any], state: str) -> None:
        self._bar.stop()
        self._console.print(state)


class PlainLines:
    """A line at each epoch's end, and at most one every ten seconds in between."""

    def __init__(self, name: str) -> None:
        self._name = name

    def start(self, total_steps: int, done_steps: int) -> None:
        self._state = _Pace(total_steps, done_steps)
        self._last = time.monotonic()
        self._say(f"step {done_steps}/{total_steps}" + (", resumed" if done_steps else ""))

    def record(self, record: Mapping[str, Any]) -> None:
        self._state.update(record)
        now = time.monotonic()
        if record["kind"] == "epoch" or now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self._say(", ".join([f"step {self._state.step}/{self._state.total}", *self._state.texts(LINE)]))

    def finish(self, summary: Mapping[str, Any], state: str) -> None:
        self._say(state)

    def _say(self, text: str) -> None:
        print(f"{self._name}: {text}", flush=True)


class _Pace:
    """The newest metrics, and the time left at the mean pace since the start."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.step = total, done
        self._done, self._began = done, time.monotonic()
        self._metrics: dict[str, Any] = {}

    def update(self, record: Mapping[str, Any]) -> None:
        self.step = record["step"]
        if record["kind"] in ("step", "epoch"):
            self._metrics |= record

    def texts(self, forms: Forms) -> list[str]:
        """What `forms` can show by now."""
        known = self._metrics | {"left": self._left()}
        return [form(known[key]) for key, form in forms.items() if known.get(key) is not None]

    def _left(self) -> timedelta | None:
        if self.step == self._done:
            return None
        pace = (time.monotonic() - self._began) / (self.step - self._done)
        return timedelta(seconds=round(pace * (self.total - self.step)))
