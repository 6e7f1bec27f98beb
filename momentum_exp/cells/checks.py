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


def require_restart(restart: int) -> None:
    """Restart period F: an integer >= 0, where 0 means never."""
    require(isinstance(restart, int) and restart >= 0, "restart", restart, "an integer >= 0 (0: no restart)")
