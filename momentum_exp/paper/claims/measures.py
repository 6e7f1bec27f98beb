"""What a claim compares runs by: one number a run, from its records alone.

A run that diverged stays in. Its number is the worst that any run of the comparison had at any time (accuracy, loss,
gradient), or the whole training (iterations to a threshold).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from momentum_exp.metrics import Metric
from momentum_exp.paper.claims.verdict import FEWEST_EVALUATIONS
from momentum_exp.summary.gradients import SPARSEST, Trace, comparable, trace_of
from momentum_exp.tracking.run_record import RunRecord
from momentum_exp.tracking.selection import CHOSEN, select

EARLY = 0.1  # of T: the time step whose gradient norm is compared with that of the last
SMALLEST_NORM = 1e-22  # in float32 a smaller norm of dL/dh_t is recorded as 0 (docs/diagnostics.md)


@dataclass(frozen=True)
class Measured:
    """The number of one run; `note` says `diverged` or `censored` where that made it."""

    run: RunRecord
    value: float
    note: str = ""


class Measure(ABC):
    """How a run becomes a number, given all runs that are compared.

    what: the measure in a few words, before runs say which metric theirs is (`title`). log: whether the number is a
    decadic logarithm, so that a difference is a factor.
    """

    what: ClassVar[str]
    log: ClassVar[bool] = False

    def __init__(self, runs: Sequence[RunRecord], against: Sequence[RunRecord]) -> None:
        self.metric: Metric = runs[0].metric
        self.horizon = horizon(runs)

    @property
    def title(self) -> str:
        """The measure in a few words."""
        return self.what

    @property
    def too_coarse(self) -> bool:
        """Whether the numbers have too few possible values for a verdict."""
        return False

    @property
    @abstractmethod
    def words(self) -> str:
        """What exactly is compared, with its unit."""

    @property
    @abstractmethod
    def higher_is_better(self) -> bool:
        """Whether the larger number is the better one, which makes the smallest the worst."""

    @abstractmethod
    def points(self, run: RunRecord) -> NDArray[np.float64]:
        """The finite numbers as training goes on, of which a diverged run is given the worst."""

    @abstractmethod
    def value(self, run: RunRecord) -> Measured | None:
        """The number of a run that finished; None where it can't be measured."""

    def all(self, runs: Iterable[RunRecord]) -> list[Measured | None]:
        """The number of each run, in order; None where it was not recorded."""
        runs = list(runs)
        points = np.concatenate([self.points(run) for run in runs]) if runs else np.empty(0)
        worst = None if not len(points) else float(points.min() if self.higher_is_better else points.max())
        return [self._diverged(run, worst) if diverged(run) else self.value(run) for run in runs]

    def _diverged(self, run: RunRecord, worst: float | None) -> Measured | None:
        return None if worst is None else Measured(run, worst, "diverged")


class SelectedMetric(Measure):
    """The test metric at the epoch that the validation set chose, or at the last one where there is no such set."""

    what = "test metric"

    def __init__(self, runs: Sequence[RunRecord], against: Sequence[RunRecord]) -> None:
        super().__init__(runs, against)
        validated = all(select(run.epochs, "best_val", self.metric) for run in runs if not diverged(run))
        self.rule = "best_val" if validated else "final"

    @property
    def title(self) -> str:
        return f"test {self.metric.label}"

    @property
    def words(self) -> str:
        return f"{self.title}, {CHOSEN[self.rule]}"

    @property
    def higher_is_better(self) -> bool:
        return self.metric.higher

    def points(self, run: RunRecord) -> NDArray[np.float64]:
        return self.metric.scale * curve(run, f"test_{self.metric.name}")[1]

    def value(self, run: RunRecord) -> Measured | None:
        epoch = select(run.epochs, self.rule, self.metric) or {}
        value = epoch.get(f"test_{self.metric.name}")
        return None if value is None else Measured(run, self.metric.scale * value)


class Speed(Measure):
    """Iterations until the loss is at most a threshold, to the resolution of an evaluation.

    A run that does not get there is censored at the horizon, the iterations that all finished runs did. As that is the
    same for all, the mean of these numbers is the restricted mean time to the threshold.

    The threshold is the largest of the other arm's lowest losses, so that all its finished runs get there.
    Where the arms do not differ that favours neither by much (simulated in the tests). Where none of that arm's runs
    finished, it is that of all runs that did.
    """

    what = "iterations to a threshold"
    higher_is_better = False

    def __init__(self, runs: Sequence[RunRecord], against: Sequence[RunRecord]) -> None:
        super().__init__(runs, against)
        lowest = lowest_losses(against)
        self.threshold = max(lowest or lowest_losses(runs), default=math.nan)
        self.reached_by = " of the other arm" if lowest else ", all of this arm,"
        curves = [loss_curve(run)[0] for run in runs if not diverged(run)]
        self.evaluations = min((int((steps <= self.horizon).sum()) for steps in curves), default=0)

    @property
    def words(self) -> str:
        return (
            f"iterations until the loss is at most {self.threshold:.4g}, which every finished run{self.reached_by} "
            f"reaches; restricted mean over the first {self.horizon:,}, evaluated {self.evaluations} times"
        )

    @property
    def too_coarse(self) -> bool:
        return self.evaluations < FEWEST_EVALUATIONS

    def points(self, run: RunRecord) -> NDArray[np.float64]:
        return np.array([float(self.horizon)])

    def value(self, run: RunRecord) -> Measured | None:
        if math.isnan(self.threshold):
            return None
        steps, losses = loss_curve(run)
        there = steps[losses <= self.threshold]
        if len(there) and there[0] <= self.horizon:
            return Measured(run, float(there[0]))
        return Measured(run, float(self.horizon), "censored")


class Area(Measure):
    """The area under the logarithm of the loss over iterations, per iteration: the mean log10 loss of a training.

    By the trapezoidal rule, from the first evaluation to the horizon.
    """

    what = "mean log loss over training"
    log = True
    words = "mean log10 loss over iterations (area under the curve), from the first evaluation on"
    higher_is_better = False

    def points(self, run: RunRecord) -> NDArray[np.float64]:
        losses = loss_curve(run)[1]
        return np.asarray(np.log10(losses[losses > 0]))

    def value(self, run: RunRecord) -> Measured | None:
        steps, losses = loss_curve(run)
        kept = (steps <= self.horizon) & (losses > 0)
        steps, logs = steps[kept], np.log10(losses[kept])
        if len(steps) < 2:
            return None
        return Measured(run, float(np.trapezoid(logs, steps) / (steps[-1] - steps[0])))


class EarlyGradient(Measure):
    """How much of the gradient in h is left early in a sequence, over the iterations that all finished runs recorded.

    How often that was is no part of a run's identity, so it may differ; a run that has no trace, or one too sparse, is
    not measured.
    """

    what = "early gradient"
    log = True
    words = (
        f"mean over iterations of log10 (norm of dL/dh_t at t = {EARLY:.0%} of T over that at T), first layer; the "
        f"iterations that all finished runs recorded, runs with fewer than {SPARSEST:.0%} of what others have left out"
    )
    higher_is_better = True

    def __init__(self, runs: Sequence[RunRecord], against: Sequence[RunRecord]) -> None:
        super().__init__(runs, against)
        self.recorded = {run.path: trace_of(run.diagnostics, "h_l0") for run in runs if run.diagnostics.exists()}
        gone = {run.path for run in runs if diverged(run)}
        self.compared = comparable({path: trace for path, trace in self.recorded.items() if path not in gone})

    def points(self, run: RunRecord) -> NDArray[np.float64]:
        trace = self.recorded.get(run.path)
        return np.empty(0) if trace is None else self.ratios(trace)

    def value(self, run: RunRecord) -> Measured | None:
        trace = self.compared.get(run.path)
        ratios = np.empty(0) if trace is None else self.ratios(trace)
        return Measured(run, float(ratios.mean())) if len(ratios) else None

    @staticmethod
    def ratios(trace: Trace) -> NDArray[np.float64]:
        """The logarithm at each iteration that has one."""
        norm_KT = trace.norm_KT.astype(float)
        last_K = (~np.isnan(norm_KT)).sum(axis=1) - 1
        rows = np.flatnonzero(last_K > 0)
        early = norm_KT[rows, np.round(EARLY * last_K[rows]).astype(int)]
        end = norm_KT[rows, last_K[rows]]
        there = (end > SMALLEST_NORM) & np.isfinite(end) & np.isfinite(early)
        return np.asarray(np.log10(np.maximum(early[there], SMALLEST_NORM) / end[there]))


MEASURES: Mapping[str, type[Measure]] = {
    "metric": SelectedMetric,
    "speed": Speed,
    "area": Area,
    "gradient": EarlyGradient,
}
"""By the word that a claim's test has in `measure`."""


def diverged(run: RunRecord) -> bool:
    """Whether the run ended because its loss was not finite."""
    return bool(run.status.get("state") == "diverged")


def lowest_losses(runs: Iterable[RunRecord]) -> list[float]:
    """Of each run that finished and was evaluated."""
    return [float(losses.min()) for run in runs if not diverged(run) and len(losses := loss_curve(run)[1])]


def horizon(runs: Sequence[RunRecord]) -> int:
    """The iterations that all finished runs did; where none finished, the most that one did."""
    ends = [(diverged(run), int(run.epochs[-1]["step"])) for run in runs if run.epochs]
    return min((end for gone, end in ends if not gone), default=max((end for _, end in ends), default=0))


def curve(run: RunRecord, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Iterations and finite values of `name` over the epochs that have it."""
    pairs = [(epoch["step"], epoch[name]) for epoch in run.epochs if epoch.get(name) is not None]
    return np.array([step for step, _ in pairs], dtype=int), np.array([value for _, value in pairs], dtype=float)


def loss_curve(run: RunRecord) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Iterations and losses on the validation set, or on the test set where there is none."""
    return curve(run, "val_loss" if any("val_loss" in epoch for epoch in run.epochs) else "test_loss")
