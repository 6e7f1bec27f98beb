"""What a table's column says of one run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from momentum_exp.paper.quantity import QUANTITIES
from momentum_exp.tracking.run_record import read_run


@pytest.mark.parametrize(
    ("settings", "threshold", "steps"),
    [
        ({"accuracies": (0.5, 0.75, 0.6)}, 75.0, 8),
        ({"accuracies": (0.5, 0.75, 0.6)}, 40.0, 4),
        ({"accuracies": (0.5, 0.75, 0.6)}, 75.1, None),
        ({"task": "regression", "accuracies": [0] * 3, "losses": (0.3, 0.2, 0.1)}, 0.2, 8),
        ({"task": "regression", "accuracies": [0] * 3, "losses": (0.3, 0.2, 0.1)}, 0.05, None),
    ],
)
def test_iterations_until_the_metric_is_as_good(
    settings: dict[str, object], threshold: float, steps: int | None, make_run: Callable[..., Path]
) -> None:
    """A higher accuracy, a lower loss; evaluated every 4 iterations."""
    run = read_run(make_run(data="adding" if "task" in settings else "pdigits", **settings))
    assert QUANTITIES["iterations_to"].of(run, "test", "final", threshold) == steps
