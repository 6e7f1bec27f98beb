"""Labelled sequences of one length, held in memory and batched by row number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from momentum_exp.config import DataConfig
from momentum_exp.data.dataset import Batch, Dataset
from momentum_exp.data.permutation import pixel_permutation
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
class Labelled(Dataset):
    """A data set of labelled sequences in memory; `val` is None where nothing is held out. D is num_features."""

    train: Split
    val: Split | None
    test: Split
    num_features: int
    num_classes: int

    def map(self, change: Callable[[Split], Split]) -> "Labelled":
        """The same data set with `change` applied to every split."""
        val = None if self.val is None else change(self.val)
        return replace(self, train=change(self.train), val=val, test=change(self.test))

    def to(self, device: torch.device | str) -> "Labelled":
        return self.map(lambda split: split.to(device))

    def training(self, batch_size: int, seed: int, epoch: int) -> "Rows":
        return Rows(self.train, shuffled_batches(len(self.train), batch_size, seed, epoch))

    def evaluation(self, split: str, batch_size: int) -> "Rows | None":
        rows = {"val": self.val, "test": self.test}[split]
        return None if rows is None else Rows(rows, batches(len(rows), batch_size))


@dataclass(frozen=True, eq=False)
class Rows(Sequence[Batch]):
    """Batches of a split, by the row numbers of each."""

    split: Split
    order: Sequence[Tensor]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: Any) -> Any:
        index = self.order[place].to(self.split.targets.device)
        return Batch(self.split.inputs_NTD[index], self.split.targets[index])


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


def arranged(dataset: Labelled, config: DataConfig, run_seed: int) -> Labelled:
    """The first data.limit rows of every split, pixels in the order of data.permutation; null changes nothing.

    Raises UserError for a limit below 1 or a permutation that is no protocol.
    """
    limit = config.limit
    if limit is not None and limit < 1:
        raise UserError(f"data.limit={limit}: it is the number of rows to keep, 1 or more; null keeps all")
    if limit is not None:
        dataset = dataset.map(lambda split: split.limit(limit))
    if config.permutation is not None:
        order_T = pixel_permutation(config.permutation, dataset.train.inputs_NTD.shape[1], run_seed)
        dataset = dataset.map(lambda split: split.reorder(order_T))
    return dataset


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
