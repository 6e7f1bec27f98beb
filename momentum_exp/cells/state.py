"""What a layer carries from one call to the next, as one structure for every cell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.export import register_dataclass

Tensors = Mapping[str, Tensor]


def hold(alive_B: Tensor, new: Tensors, old: Tensors) -> dict[str, Tensor]:
    """`new` in the rows where `alive_B` is true; rows past their sequence's end keep `old`."""
    return {n: torch.where(alive_B if t.dim() == 1 else alive_B[:, None], t, old[n]) for n, t in new.items()}


def fill(given: Tensors, zero: Tensors) -> dict[str, Tensor]:
    """`given`, and `zero` for what it lacks. Raises ValueError for a name or a shape that differs from `zero`."""
    for name, tensor in given.items():
        if name not in zero:
            raise ValueError(f"state has {name}, but this layer's state is {', '.join(zero) or 'empty'}")
        if tensor.shape != zero[name].shape:
            raise ValueError(f"state {name} of shape {tuple(tensor.shape)}: expected {tuple(zero[name].shape)}")
    return {**zero, **given}


@dataclass(frozen=True, eq=False, repr=False)
class State:
    """State of a layer: every tensor is (layers * directions, B, ..), and zero at the start of a sequence.

    recurrence: h, and c where there is one; further tensors are the recurrence's own business.
    dynamics: v (velocity), m (running average of squares), k (number of the last step, int64, no last axis),
        whichever the dynamics has. Empty means zero momentum.

    Tensors are reached by attribute (`state.v`), reordered together (`state[:, order]`) and, so that
    `y, (h, c) = layer(x)` works as with torch.nn.LSTM, iterating gives h and then c where there is one.
    """

    recurrence: Tensors
    dynamics: Tensors = field(default_factory=dict)

    def __getattr__(self, name: str) -> Tensor:
        if not name.startswith("_") and name not in ("recurrence", "dynamics"):
            for part in (self.recurrence, self.dynamics):
                if name in part:
                    return part[name]
        raise AttributeError(f"this state has no {name!r}")

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.public().values())

    def public(self) -> Tensors:
        """What torch's own modules would return: h, and c where there is one."""
        return {name: self.recurrence[name] for name in ("h", "c") if name in self.recurrence}

    def __getitem__(self, index: Any) -> State:
        if isinstance(index, int | str):
            raise TypeError(f"state[{index!r}]: write state.h, or h, c = state; slices select layers, as state[0:1]")
        return self.map(lambda tensor: tensor[index])

    def of_layer(self, place: int) -> State:
        """The state of one layer and direction, (B, ..) each."""
        return self.map(lambda tensor: tensor[place])

    def map(self, function: Callable[[Tensor], Tensor]) -> State:
        """The state with `function` applied to every tensor."""
        return State(
            {name: function(tensor) for name, tensor in self.recurrence.items()},
            {name: function(tensor) for name, tensor in self.dynamics.items()},
        )

    @staticmethod
    def stack(states: Sequence[State]) -> State:
        """States of single layers and directions, (B, .) each, as one."""
        first = states[0]
        return State(
            {name: torch.stack([state.recurrence[name] for state in states]) for name in first.recurrence},
            {name: torch.stack([state.dynamics[name] for state in states]) for name in first.dynamics},
        )

    def detach(self) -> State:
        """The same values without their history, for truncated backpropagation."""
        return self.map(Tensor.detach)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> State:
        """The state on `device`; `dtype` (real) applies to all but the integer step number.

        What is complex takes the kin of `dtype`, complex64 at least; momentum and time stamps float32 at least.
        """

        def moved(tensors: Tensors, kept_wide: Collection[str]) -> dict[str, Tensor]:
            return {
                name: tensor.to(device, _number(tensor, dtype, name in kept_wide)) for name, tensor in tensors.items()
            }

        return State(moved(self.recurrence, ("time",)), moved(self.dynamics, self.dynamics))

    def __repr__(self) -> str:
        both = {**self.recurrence, **self.dynamics}
        return f"State({', '.join(f'{name}: {tuple(tensor.shape)}' for name, tensor in both.items())})"


register_dataclass(
    State, serialized_type_name="momentum_exp.State"
)  # for torch.export and torch.func: it holds tensors
torch.serialization.add_safe_globals([State])  # for torch.load(.., weights_only=True)


def _number(tensor: Tensor, dtype: torch.dtype | None, wide: bool) -> torch.dtype:
    """What `tensor` becomes when a state is asked to be of `dtype`."""
    if dtype is None or not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor.dtype
    if tensor.is_complex():
        return torch.promote_types(dtype, torch.complex64)
    return torch.promote_types(dtype, torch.float32) if wide else dtype
