"""The equations that a dynamics or recurrence states at the head of its docstring."""

import re
from dataclasses import fields

from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.recurrences.base import Recurrence

SYMBOLS = {
    r"\bmu_k\b": "μₖ",
    r"\bmu\b": "μ",
    r"\bbeta\b": "β",
    r"\bsqrt\b": "√",
    r"\^2": "²",
    r"\^-1": "⁻¹",
    r"\^T": "ᵀ",
}


def equations(part: type[Dynamics] | type[Recurrence]) -> dict[str, str]:
    """The right-hand sides of the equations in the first paragraph, by what stands left: `v`, `u`, `r, z`, ..

    Equations are separated by ` ; ` and end with a full stop or a colon. An index t on the left is left out.
    """
    paragraph = " ".join((part.__doc__ or "").split("\n\n")[0].split())
    pieces = [re.split(r"[.:](?: |$)", piece)[0] for piece in paragraph.split(" ; ")]
    sides = [piece.split(" = ", 1) for piece in pieces if " = " in piece]
    return {left.strip().removesuffix("_t"): right.strip() for left, right in sides}


def with_symbols(text: str) -> str:
    """`mu` as μ, and so on."""
    for written, symbol in SYMBOLS.items():
        text = re.sub(written, symbol, text)
    return text


def heading(part: Dynamics | Recurrence) -> str:
    """Its name and options, `momentum: μ = 0.6, s = 0.6`; a line does not break within an option."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}  # type: ignore[arg-type]
    options = ", ".join(f"{name}\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{value}" for name, value in values.items())
    return with_symbols(f"{part.name}: {options}" if options else part.name)
