"""What every data set is to the rest of the package: tensors of labelled sequences, batched by index."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from momentum_exp.errors import UserError


@dataclass(frozen=True, eq=False)
class Split:
    """N sequences and their labels: inputs_NTD float32 (N, T, D), targets int64 (N,)."""

    inputs_NTD: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def limit(self, n: int) -> "Split":
        """The first `n` rows, or all of them where there are fewer."""
        return Split(self.inputs_NTD[:n], self.targets[:n])

    def reorder(self, order_T: Tensor) -> "Split":
        """The same sequences in another order of time: step t of the result is step order_T[t] of this."""
        return Split(self.inputs_NTD.index_select(1, order_T), self.targets)

    def to(self, device: torch.device | str) -> "Split":
        """The same rows on `device`."""
        return Split(self.inputs_NTD.to(device), self.targets.to(device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """The splits of one data set; `val` is None where nothing is held out. D is num_features."""

    train: Split
    val: Split | None
    test: Split
    num_features: int
    num_classes: int

    def map(self, change: Callable[[Split], Split]) -> "Dataset":
        """The same data set with `change` applied to every split."""
        val = None if self.val is None else change(self.val)
        return replace(self, train=change(self.train), val=val, test=change(self.test))

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data set on `device`."""
        return self.map(lambda split: split.to(device))


def hold_out(train: Split, validation: int) -> tuple[Split, Split | None]:
    """Split off the last `validation` rows of `train`: the same rows whatever the run's seed.

    Returns (rest, None) for 0. Raises UserError unless at least one row is left to train on.
    """
    if not 0 <= validation < len(train):
        raise UserError(
            f"data.validation={validation}: it is the number of training rows to hold out, "
            f"from 0 (none) to {len(train) - 1}; write for example data.validation={len(train) // 10}"
        )
    rest = len(train) - validation
    held_out = Split(train.inputs_NTD[rest:], train.targets[rest:]) if validation else None
    return train.limit(rest), held_out


def shuffled_batches(n: int, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The row numbers 0..n-1 of one epoch, shuffled and cut into batches (int64, on the CPU).

    A pure function of its arguments, so that a resumed run sees the same batches. The last batch may be
    short (the release's drop_last=False, paper 3.1). `seed` and `epoch` are not negative.
    """
    mixed_seed = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(mixed_seed))
    return list(torch.split(torch.randperm(n, generator=generator), batch_size))


def batches(n: int, batch_size: int) -> list[Tensor]:
    """The row numbers 0..n-1 in order, cut into batches (int64, on the CPU); the last may be short."""
    return list(torch.split(torch.arange(n), batch_size))
