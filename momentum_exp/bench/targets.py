"""What the compiled engine is to reach, as numbers that a measurement passes or misses."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from momentum_exp.bench.contenders import BASELINE, LOOP

Rows = list[dict[str, Any]]
MOMENTUM = "native lstm momentum"


@dataclass(frozen=True)
class Target:
    """`value(rows)` is to be at least `must` (at most, where `at_most`), and would better be `aim`."""

    what: str
    must: float
    aim: float
    value: Callable[[Rows], float]
    at_most: bool = False

    def verdict(self, value: float) -> str:
        """`aim`, `must` or `missed`."""
        sign = -1 if self.at_most else 1
        if sign * value >= sign * self.aim:
            return "aim"
        return "must" if sign * value >= sign * self.must else "missed"


def find(rows: Rows, label: str, size: int) -> dict[str, Any]:
    """The first row of that label and N."""
    return next(row for row in rows if (row["label"], row["hidden_size"]) == (label, size))


def speed(slower: str, faster: str, size: int) -> Callable[[Rows], float]:
    """The time of a training step of one over that of another, measured in turn with it: median of the ratios."""

    def value(rows: Rows) -> float:
        quick = find(rows, faster, size)
        slow = find([row for row in rows if row["group"] == quick["group"]], slower, size)
        pairs = zip(slow["training_ms"], quick["training_ms"], strict=True)
        return float(statistics.median(theirs / ours for theirs, ours in pairs))

    return value


def memory(label: str, size: int) -> Callable[[Rows], float]:
    """Peak memory over that of torch.nn.LSTM, measured in the same group."""

    def value(rows: Rows) -> float:
        ours = find(rows, label, size)
        theirs = find([row for row in rows if row["group"] == ours["group"]], BASELINE, size)
        return float(ours["peak_mb"] / theirs["peak_mb"])

    return value


def arithmetic_rate(row: dict[str, Any]) -> float:
    """GFLOP/s of the products with the recurrent weight alone, in a training step of an LSTM: one forward, two back."""
    products = 3 * 2 * row["batch_size"] * row["hidden_size"] * 4 * row["hidden_size"] * row["steps"]
    return float(products / row["training_median_ms"] / 1e6)


def of_product_rate(size: int) -> Callable[[Rows], float]:
    """The arithmetic rate over that of the fastest matrix product that torch has, one of a time step's size."""

    def value(rows: Rows) -> float:
        ours = find(rows, MOMENTUM, size)
        theirs = find([row for row in rows if row["group"] == ours["group"]], BASELINE, size)
        return arithmetic_rate(ours) / float(max(theirs["product_gflops"].values()))

    return value


NORMS = f"{MOMENTUM}, gradient norms"
TARGETS = [
    Target("momentumlstm, N 128", 1.2, 1.6, speed(BASELINE, MOMENTUM, 128)),
    Target("momentumlstm, N 256", 1.05, 1.5, speed(BASELINE, MOMENTUM, 256)),
    *(
        Target(f"{name}, N {size}", 1.0, 1.3, speed(BASELINE, f"native lstm {dynamics}", size))
        for name, dynamics in {"adamlstm": "adam", "rmsproplstm": "rmsprop", "srlstm": "nesterov"}.items()
        for size in (128, 256)
    ),
    *(
        Target(f"srlstm_released, N {size}", 0.9, 1.2, speed(BASELINE, "native srlstm_released identity", size))
        for size in (128, 256)
    ),
    Target("released-style loop / momentumlstm, N 128", 2.1, 2.8, speed(LOOP, MOMENTUM, 128)),
    *(
        Target(
            f"momentumdtriv, reference / native, N {size}",
            2.0,
            3.0,
            speed("reference dtriv momentum", "native dtriv momentum", size),
        )
        for size in (170, 512)
    ),
    *(
        Target(f"peak memory / torch.nn.LSTM's, momentumlstm, N {size}", 1.0, 0.7, memory(MOMENTUM, size), at_most=True)
        for size in (128, 256)
    ),
    *(
        Target(f"gradient norms at every iteration, N {size}", 1.1, 1.03, speed(NORMS, MOMENTUM, size), at_most=True)
        for size in (128, 256)
    ),
    Target("fraction of the measured product rate, N 256", 0.6, 0.85, of_product_rate(256)),
]
