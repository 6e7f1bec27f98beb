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


class Unroll(NamedTuple):
    """What an engine is to unroll: a cell and the tensors of one call, for one layer in one direction.

    x_TBD: the input, D features. weights: of the recurrence and the dynamics. recurrence_state: (B, .) each, what to
    start from. dynamics_state: the same; None is zero. lengths_B: steps of each sequence, decreasing, on the CPU; None:
    all have T.
    """

    recurrence: Recurrence
    dynamics: Dynamics
    x_TBD: Tensor
    weights: Weights
    recurrence_state: Tensors
    dynamics_state: Tensors | None
    lengths_B: Tensor | None = None


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
    def run(call: Unroll) -> Unrolled:
        """Unroll over all steps."""
