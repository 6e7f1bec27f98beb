"""Sequences of frames of different lengths, each step's target being the frame next to it in time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from momentum_exp.data.dataset import Batch, Dataset
from momentum_exp.data.labelled import shuffled_batches

LARGEST_POOL = 16  # batches that are cut from neighbours in length


@dataclass(frozen=True, eq=False)
class Frames(Dataset):
    """Splits of sequences, (L, D) float32 each, in memory or mapped from the disk; D is num_features.

    A sequence of L frames has L - 1 steps: frame t is the input, frame t + 1 the target. padding: a frame of this
    value follows the last one, so that there are L steps; None: none does. exchanged: inputs and targets change
    places, so that frame t + 1 is the input and frame t, which was the input before it, the target.
    """

    train: Sequence[NDArray[np.float32]]
    val: Sequence[NDArray[np.float32]]
    test: Sequence[NDArray[np.float32]]
    num_features: int
    padding: float | None = None
    exchanged: bool = False
    device: torch.device | str = "cpu"

    def to(self, device: torch.device | str) -> "Frames":
        return replace(self, device=device)

    def training(self, batch_size: int, seed: int, epoch: int) -> "FrameBatches":
        lengths = torch.tensor([len(frames_LD) for frames_LD in self.train])
        return FrameBatches(self, self.train, batches_by_length(lengths, batch_size, seed, epoch))

    def evaluation(self, split: str, batch_size: int) -> "FrameBatches":
        sequences = {"val": self.val, "test": self.test}[split]
        by_length = torch.tensor([len(frames_LD) for frames_LD in sequences]).argsort(stable=True)
        return FrameBatches(self, sequences, torch.split(by_length, batch_size))

    def batch(self, sequences: Sequence[NDArray[np.float32]]) -> Batch:
        """Inputs and targets (B, T, D) with zeros behind each sequence's end, T being the longest, and lengths."""
        wholes = [torch.from_numpy(np.array(frames_LD)) for frames_LD in sequences]
        if self.padding is not None:
            wholes = [torch.nn.functional.pad(whole, (0, 0, 0, 1), value=self.padding) for whole in wholes]
        earlier, later = _stack([whole[:-1] for whole in wholes]), _stack([whole[1:] for whole in wholes])
        inputs, targets = (later, earlier) if self.exchanged else (earlier, later)
        return Batch(inputs, targets, torch.tensor([len(whole) - 1 for whole in wholes])).to(self.device)


def _stack(sequences: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)


@dataclass(frozen=True, eq=False)
class FrameBatches(Sequence[Batch]):
    """Batches of a split, by the row numbers of each; made when they are asked for."""

    dataset: Frames
    sequences: Sequence[NDArray[np.float32]]
    order: Sequence[Tensor]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: Any) -> Any:
        return self.dataset.batch([self.sequences[row] for row in self.order[place].tolist()])


def batches_by_length(lengths: Tensor, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The row numbers of one epoch, shuffled, each batch of rows of similar length, so that there is little padding.

    The shuffled rows are dealt into pools of up to 16 batches, at least four an epoch where there are as many
    batches; each pool is sorted by length and cut, and the batches of all pools are shuffled. A pure function of its
    arguments; every row once, only one batch short.
    """
    batches = -(-len(lengths) // batch_size)
    pool = batch_size * max(1, min(LARGEST_POOL, batches // 4))
    cut = [
        rows
        for pool_rows in shuffled_batches(len(lengths), pool, seed, epoch)
        for rows in torch.split(pool_rows[lengths[pool_rows].argsort(stable=True)], batch_size)
    ]
    (order,) = shuffled_batches(len(cut), len(cut), seed, epoch)
    return [cut[place] for place in order.tolist()]
