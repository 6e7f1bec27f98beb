"""The range checks that several option classes share."""


def require(allowed: bool, name: str, value: object, rule: str) -> None:
    """Raise ValueError, naming the option, its value and the rule, unless `allowed`."""
    if not allowed:
        raise ValueError(f"{name}={value} is out of range: {rule}")


def require_mu(mu: float) -> None:
    """Momentum: 0 <= mu < 1."""
    require(0 <= mu < 1, "mu", mu, "0 <= mu < 1")


def require_s(s: float) -> None:
    """Step size: s > 0 and finite."""
    require(0 < s < float("inf"), "s", s, "s > 0")


def require_beta(beta: float) -> None:
    """Running average of squares: 0 <= beta < 1."""
    require(0 <= beta < 1, "beta", beta, "0 <= beta < 1")


def require_count(name: str, value: int, least: int, note: str = "") -> None:
    """An integer of at least `least`."""
    good = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(good, name, value, f"an integer >= {least}{note}")


def require_restart(restart: int) -> None:
    """Restart period F: an integer >= 0, where 0 means never."""
    require_count("restart", restart, 0, " (0: no restart)")


def require_word(name: str, value: str, words: tuple[str, ...]) -> None:
    """One of a few words."""
    if value not in words:
        raise ValueError(f"{name}={value} is unknown; write one of: {', '.join(words)}")
