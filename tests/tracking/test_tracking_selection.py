"""Selection rules against cases worked out by hand."""

from typing import Any

import pytest

from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS, Metric
from momentum_exp.tracking.selection import select, summary

ACCURACY = METRICS["classification"]

EPOCHS: list[dict[str, Any]] = [
    {"kind": "epoch", "epoch": 1, "val_accuracy": 0.50, "test_accuracy": 0.70, "test_loss": 0.9},
    {"kind": "epoch", "epoch": 2, "val_accuracy": 0.80, "test_accuracy": 0.60, "test_loss": 0.8},
    {"kind": "epoch", "epoch": 3, "val_accuracy": 0.80, "test_accuracy": 0.70, "test_loss": 0.7},
    {"kind": "epoch", "epoch": 4, "val_accuracy": 0.10, "test_accuracy": 0.20, "test_loss": 2.0},
]
WITHOUT_VALIDATION = [{k: v for k, v in epoch.items() if k != "val_accuracy"} for epoch in EPOCHS]


@pytest.mark.parametrize(("rule", "epoch"), [("final", 4), ("best_val", 2), ("best_test", 1)])
def test_each_rule_takes_its_epoch_and_the_earliest_on_a_tie(rule: str, epoch: int) -> None:
    assert select(EPOCHS, rule, ACCURACY) == EPOCHS[epoch - 1]


def test_no_validation_no_best_val() -> None:
    assert select(WITHOUT_VALIDATION, "best_val", ACCURACY) is None
    assert select(WITHOUT_VALIDATION, "best_test", ACCURACY) == WITHOUT_VALIDATION[0]


@pytest.mark.parametrize("rule", ["final", "best_val", "best_test"])
def test_no_epoch_no_choice(rule: str) -> None:
    assert select([], rule, ACCURACY) is None


def test_an_accuracy_that_was_not_finite_is_never_best() -> None:
    assert select([{"epoch": 1, "test_accuracy": None}, {"epoch": 2, "test_accuracy": 0.1}], "best_test", ACCURACY) == {
        "epoch": 2,
        "test_accuracy": 0.1,
    }


def test_a_metric_that_should_be_low_is_taken_at_its_lowest() -> None:
    loss = Metric("loss", "loss", higher=False, form="{:.2f}")
    assert select(EPOCHS, "best_test", loss) == EPOCHS[2]


def test_an_unknown_rule_names_the_rules() -> None:
    with pytest.raises(UserError, match=r"'best' is unknown.*final, best_val, best_test"):
        select(EPOCHS, "best", ACCURACY)


def test_summary_has_all_rules_and_says_how_each_chose() -> None:
    chosen = summary(EPOCHS, ACCURACY)
    assert {rule: (epoch["epoch"], epoch["chosen"]) for rule, epoch in chosen.items()} == {
        "final": (4, "the last epoch"),
        "best_val": (2, "chosen on the validation set"),
        "best_test": (1, "chosen on the test set"),
    }
    assert summary(WITHOUT_VALIDATION, ACCURACY)["best_val"] is None
    assert summary([], ACCURACY) == {"final": None, "best_val": None, "best_test": None}
