"""Data drawn from the seed as it is needed: training never shows the same batch twice."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from momentum_exp.config import DataConfig
from momentum_exp.data.dataset import Batch, Dataset
from momentum_exp.errors import UserError

NUM_ROWS = 2000
"""Sequences in the validation and in the test split."""

EVALUATION_SEEDS = {"val": 0, "test": 1}
SEEDS = 2**32
"""torch's generator on a CPU takes 32 bits of a seed, so seeds are counted instead of drawn: none comes twice."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Generated(Dataset):
    """An endless data set: an epoch is `steps_per_epoch` fresh batches, drawn on `device`.

    Each kind of device draws batches of its own from a seed. The two splits to evaluate on are drawn on the CPU,
    from seeds of their own: the same in every run, on every device, at every batch size, and never among the
    training batches. `limit` keeps their first rows.
    """

    steps_per_epoch: int
    limit: int | None = None
    device: torch.device = torch.device("cpu")

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """`n` fresh sequences, on the generator's device."""

    def to(self, device: torch.device | str) -> Self:
        return replace(self, device=torch.device(device))

    def training(self, batch_size: int, seed: int, epoch: int) -> "Draws":
        free = SEEDS - len(EVALUATION_SEEDS)
        start = int(np.random.SeedSequence(seed).generate_state(1)[0]) + epoch * self.steps_per_epoch
        seeds = [len(EVALUATION_SEEDS) + (start + step) % free for step in range(self.steps_per_epoch)]
        return Draws(self, batch_size, seeds)

    def evaluation(self, split: str, batch_size: int) -> list[Batch]:
        rows = self.draw(NUM_ROWS, torch.Generator().manual_seed(EVALUATION_SEEDS[split]))
        parts = (torch.split(values[: self.limit], batch_size) for values in (rows.inputs, rows.targets))
        return [Batch(inputs, targets).to(self.device) for inputs, targets in zip(*parts, strict=True)]


@dataclass(frozen=True, eq=False)
class Draws(Sequence[Batch]):
    """Batches of `batch_size` sequences, each from a generator with its own seed, drawn when it is asked for."""

    dataset: Generated
    batch_size: int
    seeds: Sequence[int]

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, place: Any) -> Any:
        generator = torch.Generator(self.dataset.device).manual_seed(self.seeds[place])
        return self.dataset.draw(self.batch_size, generator)


def settings(config: DataConfig, *names: str) -> dict[str, Any]:
    """The fields of a generated data set from `data`: the named keys, steps_per_epoch and limit.

    Raises UserError for a key that is null.
    """
    values = {name: getattr(config, name) for name in (*names, "steps_per_epoch")}
    for name, value in values.items():
        if value is None:
            raise UserError(
                f"data.{name}=null: data set {config.name} needs a number there. Write data={config.name}, which has "
                f"one for each key, or for example data.{name}=100"
            )
    return values | {"limit": config.limit}
