"""Named classes are found by looking into their folder: adding one is adding a file, with no list to edit."""

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def discover(package: ModuleType, base: type[T]) -> dict[str, type[T]]:
    """The subclasses of `base` in the modules of `package` that set a `name`, by that name, sorted."""
    found: dict[str, type[T]] = {}
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for member in vars(importlib.import_module(info.name)).values():
            if isinstance(member, type) and issubclass(member, base) and "name" in vars(member):
                found[member.name] = member  # type: ignore[attr-defined]
    return dict(sorted(found.items()))


def pick(kind: str, name: str, known: dict[str, type[T]], *also: str) -> type[T]:
    """The class called `name`. Raises ValueError that lists the known names, and `also`."""
    if name not in known:
        raise ValueError(f"{kind}={name} is unknown; write one of: {', '.join([*also, *known])}")
    return known[name]
