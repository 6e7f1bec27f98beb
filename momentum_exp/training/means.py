"""Weighted means that can be saved and continued."""


class Means:
    """Weighted sums by name; `read` gives their means. The sums are plain floats, so they resume exactly."""

    def __init__(self, sums: dict[str, list[float]] | None = None) -> None:
        self.sums: dict[str, list[float]] = {name: list(pair) for name, pair in (sums or {}).items()}

    def add(self, weight: float, **values: float) -> None:
        """Count each value `weight` times."""
        for name, value in values.items():
            pair = self.sums.setdefault(name, [0.0, 0.0])
            pair[0] += weight * value
            pair[1] += weight

    def read(self, prefix: str = "") -> dict[str, float]:
        """The mean of each name, `prefix` put before it."""
        return {f"{prefix}{name}": total / weight for name, (total, weight) in self.sums.items()}

    def clear(self) -> None:
        """Start again from nothing."""
        self.sums.clear()
