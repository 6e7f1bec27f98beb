"""What a run and a sweep say at their end, also of runs that older versions left."""

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from momentum_exp.metrics import METRICS
from momentum_exp.runs.outcome import Outcome, report, show_sweep

ACCURACY = METRICS["classification"]
EPOCH = {"epoch": 2, "test_accuracy": 0.5, "test_loss": 1.25, "val_accuracy": 0.75, "chosen": "the last epoch"}
SWEEP = [
    Outcome("failed", "--", job="cell.mu=1.5 tracking.tags=[a]"),
    Outcome("finished", "runs/one", 0.5, "50.00%", "final test accuracy, no validation rows", 1.25, "cell.mu=0.1"),
    Outcome("busy", "runs/two", job="seed=2"),
    Outcome("failed", "--", job="cell.mu=2"),
    Outcome("finished", "runs/one", 0.5, "50.00%", "final test accuracy, no validation rows", 1.25, "cell.mu=0.10"),
]


def test_the_metric_says_how_it_was_selected(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = report(Path("x"), {"summary": {"final": EPOCH, "best_val": EPOCH}, "seconds": 3.0}, ACCURACY)
    assert outcome == Outcome("finished", "x", 0.75, "75.00%", "best validation accuracy", 3.0)
    assert (
        "final     test accuracy 50.00%  test loss 1.2500  validation accuracy 75.00%  (epoch 2, the last epoch)"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("missing", ["test_accuracy", "test_loss"])
def test_what_was_not_finite_is_a_gap(capsys: pytest.CaptureFixture[str], missing: str) -> None:
    outcome = report(Path("x"), {"summary": {"final": EPOCH | {missing: None}, "best_val": None}}, ACCURACY)
    said = capsys.readouterr().out
    assert f"{missing.replace('_', ' ')} --  " in said
    assert math.isnan(outcome.metric) == (missing == "test_accuracy")
    assert outcome.selection == "final test accuracy, no validation rows"


def test_the_loss_and_what_takes_no_training_stand_together(capsys: pytest.CaptureFixture[str]) -> None:
    status = {"summary": {"final": EPOCH | {"val_loss": 1.0}}, "baselines": {"always 1": 1 / 6}}
    outcome = report(Path("x"), status, METRICS["regression"])
    assert (outcome.written, outcome.selection) == ("1.25000", "final test loss, no validation rows")
    assert capsys.readouterr().out.splitlines()[:2] == [
        "  final     test loss 1.25000  validation loss 1.00000  (epoch 2, the last epoch)",
        "  baseline  loss 0.16667  (always 1, without training)",
    ]


def test_a_status_without_a_summary_has_no_metric() -> None:
    assert math.isnan(report(Path("x"), {"state": "finished"}, ACCURACY).metric)


def test_a_sweep_off_a_terminal_is_a_line_a_run_with_failures_last(capsys: pytest.CaptureFixture[str]) -> None:
    show_sweep(SWEEP)
    header, one, failed, busy, other, counts = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "state"
    assert one.split(maxsplit=1)[0] == "finished"
    assert one.split()[-5:] == ["cell.mu=0.1", "(and", "1", "equal)", "runs/one"]
    assert "50.00% (final test accuracy, no validation rows)" in one
    assert failed.split() == ["failed", "--", "--", "cell.mu=1.5", "tracking.tags=[a]", "--"]
    assert busy.split() == ["busy", "--", "--", "seed=2", "runs/two"]
    assert other.split() == ["failed", "--", "--", "cell.mu=2", "--"]
    assert counts == "jobs 5, runs 4: 1 finished, 2 failed, 1 busy"


def test_a_sweep_on_a_terminal_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    show_sweep(SWEEP, Console(file=screen, force_terminal=True, width=120, color_system=None))
    for text in ("selection metric", "50.00%", "runs/one", "tracking.tags=[a]", "busy"):
        assert text in screen.getvalue()
    assert capsys.readouterr().out == "jobs 5, runs 4: 1 finished, 2 failed, 1 busy\n"
