"""What every task is: a head around a cell, its loss and its metrics."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from momentum_exp.cells import Recurrent, State
from momentum_exp.data.dataset import Batch

Carry = Sequence[State] | None
"""What a task carries from one batch to the next, a state for each of its layers; None: every batch starts anew."""


@dataclass(frozen=True)
class Evaluation:
    """What a batch gives: the loss (to differentiate), other means over it, its weight in an epoch's mean.

    carry: the detached states to hand to the next batch, for a task that carries them.
    """

    loss: Tensor
    metrics: Mapping[str, Tensor]
    weight: float
    carry: Carry = field(default=None)


class Task(nn.Module, ABC):
    """A task owns its cells; the loop knows nothing of what is predicted."""

    @property
    @abstractmethod
    def cells(self) -> Sequence[Recurrent]:
        """The recurrent layers, from the input on."""

    @abstractmethod
    def evaluate(self, batch: Batch, carry: Carry = None) -> Evaluation:
        """Loss and metrics on one batch; what regularises acts in training mode alone."""

    def summarise(self, means: dict[str, float]) -> dict[str, float]:
        """The means over a split, `loss` among them, with what follows from them; as they are by default."""
        return means
