"""What every engine does: one layer in one direction over all steps."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from torch import Tensor

from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights

Observer = Callable[[int, Tensor, dict[str, Tensor]], None]


class Unrolled(NamedTuple):
    """Output y_TBH (meaningless past a sequence's end) and the states after each sequence's last step."""

    y_TBH: Tensor
    recurrence_state: Tensors
    dynamics_state: Tensors


class Engine(ABC):
    """An engine: a name, a rank (`auto` takes the highest that can do the cell) and `run`.

    All engines compute the same function; they differ in speed and in rounding.
    """

    name: ClassVar[str]

    @staticmethod
    @abstractmethod
    def rank(dynamics: Dynamics, device_type: str) -> int:
        """How fast it is with this dynamics on a device of this type ("cpu", "cuda", ..): higher is faster."""

    @staticmethod
    @abstractmethod
    def refusal(recurrence: Recurrence, dynamics: Dynamics, learned: bool, device_type: str | None) -> str | None:
        """Why this engine can't run the cell on a device of this type (None: on any here); None if it can.

        `learned`: with a dynamics that is learned.
        """

    @staticmethod
    @abstractmethod
    def run(
        recurrence: Recurrence,
        dynamics: Dynamics,
        x_TBD: Tensor,
        weights: Weights,
        recurrence_state: Tensors,
        dynamics_state: Tensors | None,
        lengths_B: Tensor | None = None,
    ) -> Unrolled:
        """Unroll over all steps. `dynamics_state` None means zero; `lengths_B` is decreasing, on the CPU."""
