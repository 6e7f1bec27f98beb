"""Which recurrences and dynamics there are, which options a pair of them takes, and making the pair."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

from momentum_exp.cells import dynamics as dynamics_folder
from momentum_exp.cells import recurrences as recurrences_folder
from momentum_exp.cells.discovery import discover, pick
from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.recurrences.base import Recurrence

T = TypeVar("T")


@cache
def recurrences() -> dict[str, type[Recurrence]]:
    """Every recurrence by its name."""
    return discover(recurrences_folder, Recurrence)  # type: ignore[type-abstract]


@cache
def dynamics() -> dict[str, type[Dynamics]]:
    """Every dynamics by its name."""
    return discover(dynamics_folder, Dynamics)  # type: ignore[type-abstract]


def recurrence_names() -> list[str]:
    """What `recurrence=` may say, sorted."""
    return list(recurrences())


def dynamics_names() -> list[str]:
    """What `dynamics=` may say, sorted."""
    return list(dynamics())


def pair(recurrence: str, dynamics_name: str) -> tuple[type[Recurrence], type[Dynamics]]:
    """The two classes. Raises ValueError for an unknown name or two that do not go together."""
    first = pick("recurrence", recurrence, recurrences())
    second = pick("dynamics", dynamics_name, dynamics())
    if first.dynamics and dynamics_name not in first.dynamics:
        raise ValueError(
            f"recurrence={recurrence} does not go with dynamics={dynamics_name}; "
            f"write dynamics={' or '.join(first.dynamics)}"
        )
    return first, second


def applicable_options(recurrence: str, dynamics: str) -> dict[str, Any]:
    """The options that have an effect for this pair, with their default values.

    Raises ValueError for an unknown name or two that do not go together.
    """
    return {f.name: f.default for part in pair(recurrence, dynamics) for f in fields(part)}  # type: ignore[arg-type]


def option_names() -> set[str]:
    """Every option of any recurrence or dynamics."""
    parts: list[Any] = [*recurrences().values(), *dynamics().values()]
    return {field.name for part in parts for field in fields(part)}


def constrained(recurrence: str) -> bool:
    """Whether a recurrence constrains its recurrent weight (orthogonal, unitary, ..)."""
    return recurrences()[recurrence].constrained()


def owners(option: str) -> list[str]:
    """Who takes an option, to tell a user: `["dynamics=adam, momentum"]`."""
    kinds: dict[str, Any] = {"recurrence": recurrences(), "dynamics": dynamics()}
    found = {
        kind: [name for name, part in parts.items() if option in {field.name for field in fields(part)}]
        for kind, parts in kinds.items()
    }
    return [f"{kind}={', '.join(names)}" for kind, names in found.items() if names]


def learnable(dynamics_name: str) -> list[str]:
    """The options of a dynamics that are real numbers, and so may be learned: of mu, s, beta."""
    parts: Any = dynamics()[dynamics_name]
    return [field.name for field in fields(parts) if isinstance(field.default, float)]


def build(recurrence: str, dynamics: str, options: Mapping[str, Any]) -> tuple[Recurrence, Dynamics]:
    """The pair with its options set. Raises ValueError for an option out of range or without effect."""
    allowed = applicable_options(recurrence, dynamics)
    for name in options:
        if name not in allowed:
            takes = ", ".join(allowed) or "no options"
            raise ValueError(
                f"{name}={options[name]} has no effect for recurrence={recurrence}, dynamics={dynamics}, "
                f"which takes {takes}; leave {name} out"
            )
    first, second = pair(recurrence, dynamics)
    return _with(first, options), _with(second, options)


def _with(part: type[T], options: Mapping[str, Any]) -> T:
    return part(**{f.name: options[f.name] for f in fields(part) if f.name in options})  # type: ignore[arg-type]
