"""How a layer is unrolled over time: one file for each engine, found by looking into this folder."""

import sys
from collections.abc import Callable
from functools import cache

import torch

from momentum_exp.cells.discovery import discover, pick
from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.engines.base import Engine, Unrolled
from momentum_exp.engines.reference import Reference
from momentum_exp.engines.scan import scan

__all__ = ["Engine", "engines", "resolve_engine", "runner"]


@cache
def engines() -> dict[str, type[Engine]]:
    """Every engine by its name."""
    return discover(sys.modules[__name__], Engine)  # type: ignore[type-abstract]


def resolve_engine(
    recurrence: Recurrence,
    dynamics: Dynamics,
    engine: str = "auto",
    device_type: str | None = "cpu",
    learned: bool = False,
) -> str:
    """The name of the engine that `engine` stands for with this cell; `auto` is the fastest that can do it.

    The rule behind `auto`: `native` on a CPU for the cells that it has; `library` wherever torch has a fused kernel,
    but for rmsprop and adam on a CPU, where `reference` is faster; `reference` for all else, learned dynamics included.
    `cudagraph` is for who asks for it: it has never run on a GPU.

    device_type: where the parameters are; None: not known yet, refuse only what can't run anywhere here.
    Raises ValueError for an unknown name, or an engine that can't do what is asked, saying why.
    """
    if engine == "auto":
        ranked = sorted(engines().values(), key=lambda candidate: -candidate.rank(dynamics, device_type or "cpu"))
        return next(c.name for c in ranked if not c.refusal(recurrence, dynamics, learned, device_type))
    refusal = pick("engine", engine, engines(), "auto").refusal(recurrence, dynamics, learned, device_type)
    if refusal is not None:
        raise ValueError(
            f"engine={engine} can't run recurrence={recurrence.name}, dynamics={dynamics.name}: {refusal}; "
            "write engine=auto"
        )
    return engine


def runner(engine: str) -> Callable[..., Unrolled]:
    """`run` of the engine of that name, or what takes its place in this call.

    Engines have kernels and gradients of their own, which a transformation of the program can't look into. So under
    torch.export the step is recorded once, by `scan`; under torch.func (grad, vmap, ..) and torch.jit.trace the
    reference runs.
    """
    if torch.compiler.is_exporting():
        return scan
    functional = torch._C._functorch.peek_interpreter_stack() is not None
    return engines()[Reference.name if functional or torch._C._is_tracing() else engine].run
