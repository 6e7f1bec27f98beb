"""What every dynamics is: g_1 .. g_t -> u_t, each unit on its own, never seeing h."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor

from momentum_exp.cells.state import Tensors, hold


def widened(dtype: torch.dtype) -> torch.dtype:
    """The precision that dynamics run in: `dtype`, but float32 at least (complex64 where it is complex)."""
    return torch.promote_types(dtype, torch.float32)


class Dynamics(ABC):
    """A dynamics is a frozen dataclass whose fields are its options.

    name: what `dynamics=` says. states: the names of its state tensors, (B, G) each, but (B,) int64 for the
    step number k; all start at zero, real for the average of squares m, otherwise of g's kind (complex for some
    recurrences). A new dynamics is one new file here that sets both and defines `step`.
    """

    name: ClassVar[str]
    states: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def step(self, g_BG: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
        """One step: the drive u_BG and the next state. The only definition of the equations."""

    def initial_state(self, g_BG: Tensor) -> dict[str, Tensor]:
        """The zero state for a pre-activation like `g_BG`."""
        zeros = {
            "k": torch.zeros(g_BG.shape[0], dtype=torch.int64, device=g_BG.device),
            "m": torch.zeros_like(g_BG.real),
        }
        return {name: zeros.get(name, torch.zeros_like(g_BG)) for name in self.states}

    def with_values(self, values: Mapping[str, Tensor]) -> Self:
        """The same dynamics with tensors, () or (G,), for some options; what learns them keeps them in range."""
        other = copy.copy(self)
        for name, value in values.items():
            object.__setattr__(other, name, value)
        return other

    def learned(self) -> dict[str, Tensor]:
        """The options that `with_values` has made tensors."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def resume(self, state: Tensors) -> Tensors:
        """What the next call starts from, given the state that the last call ended with."""
        return state

    def unroll(
        self, g_TBG: Tensor, state: Tensors | None = None, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, Tensors]:
        """All steps: the drive u_TBG in g's dtype, and the state after each sequence's last step.

        Computed, and the state kept, in float32 at least, also under autocast. `state` None means zero.
        """
        wide_TBG = g_TBG.to(widened(g_TBG.dtype))
        state = self.initial_state(wide_TBG[0]) if state is None else state
        lengths_B = None if lengths_B is None else lengths_B.to(g_TBG.device)
        drive = []
        with torch.autocast(g_TBG.device.type, enabled=False):
            for t, g_BG in enumerate(wide_TBG.unbind(0)):
                u_BG, new = self.step(g_BG, state)
                state = new if lengths_B is None else hold(t < lengths_B, new, state)
                drive.append(u_BG)
        return torch.stack(drive).to(g_TBG.dtype), state
