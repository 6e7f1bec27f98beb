"""What follows from what in one step of a cell, read off by running the step on tensors that remember their origin."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.weights import Weights

T = TypeVar("T", Dynamics, Recurrence)
B, H = 2, 4  # of the step that is run; the flow does not depend on them


@dataclass(frozen=True)
class Flow:
    """What each value of a step follows from directly, in the order in which they can be computed.

    Names are `g`, `u`, `pre`, states of this step as `v` and of the step before as `v_`, parameters and options as
    they are called. A value that nothing else follows from is left out, unless it is a state or what is put out.
    """

    sources: Mapping[str, frozenset[str]]


class Traced(Tensor):
    """A tensor that remembers which traced tensors it was computed from."""

    parents: tuple["Traced", ...] = ()

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        origins = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Traced)]
        for value in tree_leaves(result):
            if isinstance(value, Traced):  # an operation in place, or one without effect, returns its argument
                value.parents += tuple(origin for origin in origins if origin is not value)
        return result


def dynamics_flow(dynamics: Dynamics) -> Flow:
    """How u and the states of a dynamics follow from g, from its states before, and from its numeric options."""
    g_BG = _traced(torch.randn(B, H))
    before = {name: _traced(value) for name, value in dynamics.initial_state(torch.randn(B, H)).items()}
    traced, options = _with_traced_options(dynamics)
    u_BG, after = traced.step(g_BG, before)
    return _flow({"g": g_BG, **_previous(before), **options}, {**after, "u": u_BG}, ["u", *after])


def recurrence_flow(recurrence: Recurrence) -> Flow:
    """How the states of a recurrence follow from u, from its states before, its parameters and numeric options.

    `pre` is among them where the states follow from it. U is `w_hh`.
    """
    dtype = recurrence.dtype(torch.float32)
    blocks = recurrence.gate_blocks * H
    u_BG = _traced(torch.randn(B, blocks, dtype=dtype))
    before = {name: _traced(value) for name, value in recurrence.initial_state(torch.randn(B, 1), H).items()}
    extra = {name: _traced(torch.randn(shape)) for name, shape in recurrence.extra_shapes(H).items()}
    b_hh = _traced(torch.randn(blocks)) if recurrence.biased else None
    w_hh = _traced(torch.randn(blocks, H, dtype=dtype))
    traced, options = _with_traced_options(recurrence)
    pre_BG, after = traced.step(u_BG, before, Weights(torch.empty(blocks, 1, dtype=dtype), w_hh, None, b_hh, extra))
    own = {"w_hh": w_hh, **({} if b_hh is None else {"b_hh": b_hh}), **extra, **options}
    return _flow({"u": u_BG, **_previous(before), **own}, {"pre": pre_BG, **after}, list(after))


def _traced(value: Tensor) -> Traced:
    return value.clone().as_subclass(Traced)


def _previous(before: Mapping[str, Traced]) -> dict[str, Traced]:
    return {f"{name}_": value for name, value in before.items()}


def _with_traced_options(part: T) -> tuple[T, dict[str, Traced]]:
    """The part with its numbers as traced tensors, and these by name."""
    traced = copy.copy(part)
    options = {}
    for option in fields(part):  # type: ignore[arg-type]
        value = getattr(part, option.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            options[option.name] = _traced(torch.tensor(value))
            object.__setattr__(traced, option.name, options[option.name])
    return traced, options


def _flow(given: Mapping[str, Tensor], made: Mapping[str, Tensor], kept: list[str]) -> Flow:
    names = {id(value): name for name, value in reversed([*given.items(), *made.items()])}
    sources = {name: _sources(name, value, names) for name, value in made.items()}
    used = {
        name: found for name, found in sources.items() if name in kept or any(name in all_ for all_ in sources.values())
    }
    ordered: dict[str, frozenset[str]] = {}
    while len(ordered) < len(used):  # a step computes its values one after the other: there is always a next
        ready = next(name for name in used if name not in ordered and not (used[name] & used.keys()) - ordered.keys())
        ordered[ready] = used[ready]
    return Flow(ordered)


def _sources(name: str, value: Tensor, names: Mapping[int, str]) -> frozenset[str]:
    """The named values that `value` was computed from, with no other between."""
    if names.get(id(value)) not in (None, name):  # the same tensor under another name: u is v
        return frozenset([names[id(value)]])
    found: set[str] = set()
    seen: set[int] = set()
    open_ = list(getattr(value, "parents", ()))
    while open_:
        origin = open_.pop()
        if id(origin) in names:
            found.add(names[id(origin)])
        elif id(origin) not in seen:
            seen.add(id(origin))
            open_ += origin.parents
    return frozenset(found)
