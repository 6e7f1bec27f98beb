"""What every data set is to the rest of the package: batches of its splits, a pure function of seed and epoch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """What a task is trained on at once, B sequences, batch first: inputs (B, T, D) or tokens (B, T).

    targets: what the task says. lengths_B: true lengths of padded sequences, int64 on the CPU; None: all T.
    lr_scale: factor of this step's learning rate.
    """

    inputs: Tensor
    targets: Tensor
    lengths_B: Tensor | None = None
    lr_scale: float = 1.0

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`, its lengths where they are."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))


class Dataset(ABC):
    """A training split in shuffled batches, and one or two to evaluate on."""

    @property
    def baselines(self) -> Mapping[str, float]:
        """Losses that take no training, by whose they are, to judge a run's by; none by default."""
        return {}

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """The same data set, giving its batches on `device`."""

    @abstractmethod
    def training(self, batch_size: int, seed: int, epoch: int) -> Sequence[Batch]:
        """The batches of one epoch; a pure function of its arguments, so that a resumed run sees the same ones."""

    @abstractmethod
    def evaluation(self, split: str, batch_size: int) -> Sequence[Batch] | None:
        """The batches of the split `val` or `test`, every row once; None where nothing is held out for it."""
