"""What a column of a table says of one run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from momentum_exp.metrics import Metric
from momentum_exp.tracking.run_record import RunRecord
from momentum_exp.tracking.selection import CHOSEN, select


@dataclass(frozen=True)
class Quantity:
    """`of(run, split, rule, threshold)` is a run's value, None where it has none; the others write it.

    heading(metric, split, threshold) says what it is, with its unit; show(metric, value) writes a value without it;
    selection(rule) says which epochs it is of. awaited: it is the time until something, which may not have come.
    """

    of: Callable[[RunRecord, str, str, float | None], float | None]
    heading: Callable[[Metric, str, float | None], str]
    show: Callable[[Metric, float], str]
    selection: Callable[[str], str]
    awaited: bool = False


def loss_of(metric: Metric) -> Metric:
    """The loss that stands beside a task's metric, as a metric of its own."""
    return Metric("loss", metric.loss, higher=False, form="{:.4f}")


def _metric(run: RunRecord, split: str, rule: str, threshold: float | None) -> float | None:
    return _selected(run, split, rule, run.metric)


def _loss(run: RunRecord, split: str, rule: str, threshold: float | None) -> float | None:
    return _selected(run, split, rule, loss_of(run.metric))


def _selected(run: RunRecord, split: str, rule: str, metric: Metric) -> float | None:
    epoch = select(run.epochs, rule, metric) or {}
    value = epoch.get(f"{split}_{metric.name}")
    return None if value is None else metric.scale * value


def _minutes(run: RunRecord) -> list[tuple[float, float]]:
    """Epochs trained and minutes until then, training and evaluation, for each epoch record; none without times."""
    spent, minutes = 0.0, []
    for epoch in run.epochs if all({"seconds", "eval_seconds"} <= set(epoch) for epoch in run.epochs) else []:
        spent += epoch["eval_seconds"]
        minutes.append((epoch["epoch"], (epoch["seconds"] + spent) / 60))
    return minutes


def _epoch_minutes(run: RunRecord, split: str, rule: str, threshold: float | None) -> float | None:
    minutes = _minutes(run)
    return minutes[-1][1] / minutes[-1][0] if minutes else None


def _minutes_to(run: RunRecord, split: str, rule: str, threshold: float | None) -> float | None:
    first, minutes = _first(run, split, threshold), _minutes(run)
    return minutes[first][1] if first is not None and minutes else None


def _iterations_to(run: RunRecord, split: str, rule: str, threshold: float | None) -> float | None:
    first = _first(run, split, threshold)
    return None if first is None else run.epochs[first]["step"]


def _first(run: RunRecord, split: str, threshold: float | None) -> int | None:
    """The first of a run's epoch records whose metric has reached the threshold."""
    metric, name = run.metric, f"{split}_{run.metric.name}"
    assert threshold is not None
    for number, epoch in enumerate(run.epochs):
        value = epoch.get(name)
        if value is not None and (metric.scale * value - threshold) * (1 if metric.higher else -1) >= 0:
            return number
    return None


def _words(split: str) -> str:
    return {"test": "test", "val": "validation"}[split]


def _awaited(
    unit: str, of: Callable[[RunRecord, str, str, float | None], float | None], form: str, until: str
) -> Quantity:
    """What a run spends, in `unit`, until its metric reaches a threshold."""
    return Quantity(
        of,
        lambda metric, split, threshold: f"{unit} to {threshold:g} {_words(split)} {metric.label}",
        lambda metric, value: form.format(value),
        lambda rule: f"{until} that reaches it; a mean only where all runs do",
        awaited=True,
    )


QUANTITIES: Mapping[str, Quantity] = {
    "metric": Quantity(
        _metric,
        lambda metric, split, _: f"{_words(split)} {metric.label}",
        lambda metric, value: metric.number(value),
        lambda rule: f"at the epoch {CHOSEN[rule]}" if rule != "final" else "at the last epoch",
    ),
    "loss": Quantity(
        _loss,
        lambda metric, split, _: f"{_words(split)} {metric.loss}",
        lambda metric, value: loss_of(metric).number(value),
        lambda rule: f"at the epoch {CHOSEN[rule]} by the loss" if rule != "final" else "at the last epoch",
    ),
    "epoch_minutes": Quantity(
        _epoch_minutes,
        lambda metric, split, _: "minutes an epoch",
        lambda metric, value: f"{value:.3g}",
        lambda rule: "mean over all epochs, evaluation included",
    ),
    "minutes_to": _awaited("minutes", _minutes_to, "{:.3g}", "training and evaluation until the first epoch"),
    "iterations_to": _awaited("iterations", _iterations_to, "{:,.0f}", "the first evaluation"),
}
"""By the name that a table's YAML gives."""
