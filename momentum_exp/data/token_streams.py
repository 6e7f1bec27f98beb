"""A text as continuous streams of tokens, read a segment at a time with the state carried on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from momentum_exp.data.dataset import Batch, Dataset

EVALUATION_STREAMS = {"val": 10, "test": 1}
"""Streams that a split is read in at most, as AWD-LSTM does: the fewer, the fewer tokens lack their history."""

FULL, SPREAD, SHORTEST = 0.95, 5.0, 5
"""Segments of random length: how many of them are about bptt (the others half of it), their deviation, the least."""


@dataclass(frozen=True, eq=False)
class TokenStreams(Dataset):
    """Three texts of one vocabulary, tokens (N,) int64 in [0, num_types).

    first: the token that stands before each text's first one (the end of a sentence).
    bptt: steps of a segment; varies: their number is random, see `segment_ends`.

    A text is cut into B streams of equal length that follow each other in it, and those into segments: batches of
    inputs (B, T), each the token before its target, and targets (B, T). A batch's rows go on where those of the batch
    before ended; `lr_scale` is T / bptt. Every token is a target once; in training but for the last N mod B.
    """

    train: Tensor
    val: Tensor
    test: Tensor
    num_types: int
    first: int
    bptt: int
    varies: bool = False

    def to(self, device: torch.device | str) -> "TokenStreams":
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))

    def training(self, batch_size: int, seed: int, epoch: int) -> "Segments":
        length = len(self.train) // batch_size
        ends = random_ends(length, self.bptt, seed, epoch) if self.varies else equal_ends(length, self.bptt)
        return self._segments(self.train, batch_size, ends)

    def evaluation(self, split: str, batch_size: int) -> "Segments":
        """Segments of bptt. `batch_size` is not used: how many streams there are changes the result a little.

        They are EVALUATION_STREAMS, or the next lower number that leaves no token out. The released code does not
        predict the first token of a stream, but divides by it: its mean loss over L steps is L - 1 over L of the mean
        (0.03 of a perplexity of 60, where L = 7,376).
        """
        tokens_N = {"val": self.val, "test": self.test}[split]
        streams = max(n for n in range(1, EVALUATION_STREAMS[split] + 1) if len(tokens_N) % n == 0)
        return self._segments(tokens_N, streams, equal_ends(len(tokens_N) // streams, self.bptt))

    def _segments(self, tokens_N: Tensor, streams: int, ends: list[int]) -> "Segments":
        used = len(tokens_N) // streams * streams
        before_N = torch.cat([tokens_N.new_tensor([self.first]), tokens_N[:-1]])
        return Segments(before_N[:used].view(streams, -1), tokens_N[:used].view(streams, -1), ends, self.bptt)


@dataclass(frozen=True, eq=False)
class Segments(Sequence[Batch]):
    """The batches of B streams of length L, by where each ends."""

    inputs_BL: Tensor
    targets_BL: Tensor
    ends: list[int]
    bptt: int

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, place: Any) -> Any:
        start, end = ([0, *self.ends])[place], self.ends[place]
        return Batch(self.inputs_BL[:, start:end], self.targets_BL[:, start:end], lr_scale=(end - start) / self.bptt)


def equal_ends(length: int, bptt: int) -> list[int]:
    """Where the segments of a stream of `length` steps end; the last may be short."""
    return [*range(bptt, length, bptt), length] if length else []


def random_ends(length: int, bptt: int, seed: int, epoch: int) -> list[int]:
    """Where the segments of a stream end, a pure function of its arguments.

    Their lengths are drawn from N(bptt, 5), 1 in 20 from N(bptt / 2, 5), cut to whole numbers, 5 at least; the last
    is what is left. AWD-LSTM's rule and the released PTB loop's, which leaves out a last segment of 1 and scales its
    learning rate by the length as it was drawn.
    """
    generator = np.random.default_rng(np.random.SeedSequence((seed, epoch)))
    most = -(-length // SHORTEST)
    mean_K = np.where(generator.random(most) < FULL, bptt, bptt / 2)
    length_K = np.maximum(generator.normal(mean_K, SPREAD).astype(int), SHORTEST)
    end_K = length_K.cumsum()
    return [*end_K[end_K < length].tolist(), length] if length else []
