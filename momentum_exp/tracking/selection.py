"""Which epoch's metrics speak for a run: always said together with the number."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from momentum_exp.errors import UserError
from momentum_exp.metrics import Metric

Epoch = Mapping[str, Any]

# How each rule chose its epoch, in words to print beside the number.
CHOSEN: Mapping[str, str] = {
    "final": "the last epoch",
    "best_val": "chosen on the validation set",
    "best_test": "chosen on the test set",
}


def select(epochs: Sequence[Epoch], rule: str, metric: Metric) -> dict[str, Any] | None:
    """The epoch record that `rule` chooses among those of a run, or None where it can't choose.

    `final`: the last epoch. `best_val`, `best_test`: the best `metric` on that split, the earliest epoch on a
    tie; None where that split was never measured. The paper's Table 1 reports `best_test` (paper section 3.1;
    the released code keeps the maximum over epochs of the test accuracy), which flatters a model.

    Raises UserError for an unknown rule.
    """
    if rule not in CHOSEN:
        raise UserError(f"selection rule {rule!r} is unknown; write one of {', '.join(CHOSEN)}")
    if rule == "final":
        return dict(epochs[-1]) if epochs else None
    name = f"{rule.removeprefix('best_')}_{metric.name}"
    measured = [epoch for epoch in epochs if epoch.get(name) is not None]
    best = max if metric.higher else min
    return dict(best(measured, key=itemgetter(name))) if measured else None


def summary(epochs: Sequence[Epoch], metric: Metric) -> dict[str, Any]:
    """All rules side by side: `{rule: metrics with "chosen" saying how} or {rule: None}`."""
    chosen = {rule: select(epochs, rule, metric) for rule in CHOSEN}
    return {rule: epoch and _metrics(epoch) | {"chosen": CHOSEN[rule]} for rule, epoch in chosen.items()}


def _metrics(epoch: Epoch) -> dict[str, Any]:
    return {key: value for key, value in epoch.items() if key != "kind"}
