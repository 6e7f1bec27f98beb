"""What the schema says of one configuration key: its default, range and meaning."""

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Allowed:
    """What a key may hold beyond its type: an interval or a set of words."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether `value` (already of the key's type) lies in the range; NaN and infinity lie in none."""
        if self.choices:
            return value in self.choices
        if isinstance(value, float) and not math.isfinite(value):
            return False
        above = self.low is None or (value > self.low if self.low_open else value >= self.low)
        below = self.high is None or (value < self.high if self.high_open else value <= self.high)
        return bool(above and below)

    def describe(self, name: str) -> str:
        """The interval in words, with the key's last name as the variable: `0 <= mu < 1`."""
        left = "" if self.low is None else f"{self.low} {'<' if self.low_open else '<='} "
        right = "" if self.high is None else f" {'<' if self.high_open else '<='} {self.high}"
        return f"{left}{name}{right}"


ANY = Allowed()
POSITIVE = Allowed(low=0, low_open=True)
AT_LEAST_0 = Allowed(low=0)
AT_LEAST_1 = Allowed(low=1)
BELOW_1 = Allowed(low=0, high=1, high_open=True)


def words(*choices: str) -> Allowed:
    """The range of a key that holds one of a few words."""
    return Allowed(choices=choices)


def key(default: Any, meaning: str, allowed: Allowed = ANY, example: Any = None, result: bool = True) -> Any:
    """A field of the schema.

    `example` is what an error message suggests to write; `result=False` marks a key that cannot change what a
    run computes and so stays out of the run's identity.
    """
    metadata = {"meaning": meaning, "allowed": allowed, "example": example, "result": result}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)
