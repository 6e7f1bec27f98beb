"""The console: plain lines off a terminal, a bar on one."""

import io

import pytest
from rich.console import Console

from momentum_exp.tracking import console as module
from momentum_exp.tracking.console import PlainLines, ProgressBar, console_tracker

EPOCH = {
    "kind": "epoch",
    "epoch": 1,
    "step": 4,
    "train_loss": 1.5,
    "test_loss": 1.25,
    "test_accuracy": 0.4321,
}


class Clock:
    """Stands for the module's `time`: moves only when told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def step(number: int) -> dict[str, object]:
    return {"kind": "step", "step": number, "epoch": 1, "train_loss": 2.0}


def test_off_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    tracker = console_tracker("name")
    assert isinstance(tracker, PlainLines)
    tracker.start(8, 0)
    for number in (1, 2, 3, 4):
        clock.now += 1.0
        tracker.record(step(number))
    tracker.record(EPOCH)
    tracker.finish({}, "finished")
    assert capsys.readouterr().out.splitlines() == [
        "name: step 0/8",
        "name: step 4/8, epoch 1, train loss 1.5000, test loss 1.2500, test accuracy 43.21%, 0:00:04 left",
        "name: finished",
    ]


def test_between_epochs_a_line_at_most_every_ten_seconds(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    tracker = PlainLines("name")
    tracker.start(100, 0)
    for number in range(1, 31):
        clock.now += 1.0
        tracker.record(step(number))
    steps = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert steps == ["name: step 0/100", "name: step 10/100", "name: step 20/100", "name: step 30/100"]


def test_the_time_left_counts_only_steps_since_the_resume(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    tracker = PlainLines("name")
    tracker.start(100, 90)
    clock.now += 20.0
    tracker.record(step(92))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "name: step 90/100, resumed"
    assert second.endswith("0:01:20 left")  # 2 steps took 20 s, 8 are left


def test_a_loss_that_was_not_finite_is_left_out(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    tracker = PlainLines("name")
    tracker.start(8, 0)
    clock.now += 10.0
    tracker.record(step(1) | {"train_loss": None})
    assert "loss" not in capsys.readouterr().out


def test_on_a_terminal_a_bar_shows_loss_accuracy_and_time_left_in_80_columns() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None, _environ={"TERM": "xterm"})
    tracker = console_tracker("name", console)
    assert isinstance(tracker, ProgressBar)
    tracker.start(70350, 0)
    tracker.record({**EPOCH, "step": 35000})
    tracker.finish({}, "finished")
    shown = screen.getvalue()
    for text in ("name", "35000/70350", "epoch 1", "loss 1.5000", "test 43.21%", "left", "finished"):
        assert text in shown


@pytest.mark.parametrize("interactive", [False, True])
def test_finish_without_start_is_harmless(capsys: pytest.CaptureFixture[str], interactive: bool) -> None:
    console = Console(force_terminal=True) if interactive else None
    console_tracker("name", console).finish({}, "failed")
    assert "failed" in capsys.readouterr().out
