"""Synthetic runs of a study's arms, and the figures that are drawn of them."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from planned_runs import finish

from momentum_exp.paper.figure.specification import load_figure
from momentum_exp.paper.study import load_study, plan
from momentum_exp.tracking.records import Records


def epochs(*losses: float) -> list[dict[str, float]]:
    return [{"test_loss": loss, "val_loss": loss, "test_accuracy": 1 - loss} for loss in losses]


def write(study: str, arm: str, seed: int, runs: Path, *losses: float, scale: str = "smoke", **facts: object) -> Path:
    """A finished run with these test losses by epoch, and ten times these as training losses at steps 10, 20, .."""
    (planned,) = plan(load_study(study), scale, [seed], [arm])
    path = finish(planned, runs, epochs(*losses), **facts)
    records = Records(path / "metrics.jsonl")
    for number, loss in enumerate(losses, start=1):
        records.append({"kind": "step", "step": 10 * number, "epoch": number, "train_loss": 10 * loss})
    return path


def draw(name: str, runs: Path, scale: str = "smoke", seeds: Sequence[int] = (0, 1)) -> dict[str, Figure]:
    return load_figure(name).draw(name, scale, seeds, runs).pictures
