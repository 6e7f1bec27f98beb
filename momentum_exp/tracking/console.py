"""The run on the user's screen: a progress bar on a terminal, plain lines anywhere else."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from momentum_exp.tracking.tracker import Tracker

SECONDS_BETWEEN_LINES = 10.0
BAR = {
    "epoch": "epoch {}",
    "train_loss": "loss {:.4f}",
    "test_accuracy": "test {:.2%}",
    "left": "{} left",
}
LINE = {
    "epoch": "epoch {}",
    "train_loss": "train loss {:.4f}",
    "test_loss": "test loss {:.4f}",
    "test_accuracy": "test accuracy {:.2%}",
    "left": "{} left",
}


def console_tracker(name: str, console: Console | None = None) -> Tracker:
    """The tracker that suits standard output: `ProgressBar` on a terminal, else `PlainLines`."""
    console = console or Console()
    return ProgressBar(name, console) if console.is_interactive else PlainLines(name)


class ProgressBar:
    """One bar a run: iterations, newest loss and test accuracy, time left."""

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

    def texts(self, forms: Mapping[str, str]) -> list[str]:
        """What `forms` can show by now."""
        known = self._metrics | {"left": self._left()}
        return [form.format(known[key]) for key, form in forms.items() if known.get(key) is not None]

    def _left(self) -> timedelta | None:
        if self.step == self._done:
            return None
        pace = (time.monotonic() - self._began) / (self.step - self._done)
        return timedelta(seconds=round(pace * (self.total - self.step)))
