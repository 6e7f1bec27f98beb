"""The copying task: symbols to be repeated after a delay (Hochreiter and Schmidhuber 1997; Arjovsky et al. 2016)."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from momentum_exp.config import DataConfig
from momentum_exp.data.dataset import Batch
from momentum_exp.data.generated import Generated, settings

COPIED = 10
"""Symbols to remember."""

OPTIONS = ("length", "symbols", "steps_per_epoch", "limit")


@dataclass(frozen=True, eq=False, kw_only=True)
class Copying(Generated):
    """Read 10 symbols, wait, write them down: with delay T, T + 20 steps of a one-hot input and a label for each.

        input   s_1 .. s_10   T - 1 blanks   delimiter   10 blanks
        label   T + 10 blanks                            s_1 .. s_10

    Each s is one of `symbols`, uniform and independent; the blank is number `symbols`, the delimiter the one after.
    """

    length: int
    symbols: int

    @property
    def num_classes(self) -> int:
        """Symbols, blank and delimiter: also the number of input features."""
        return self.symbols + 2

    @property
    def recalled(self) -> int:
        """How many labels at the end of a sequence are to be remembered; all before are blank."""
        return COPIED

    @property
    def baselines(self) -> dict[str, float]:
        """Who remembers nothing says blank, and at the end guesses: ln(symbols) nats at 10 of T + 20 steps."""
        return {"memoryless": COPIED * math.log(self.symbols) / (self.length + 2 * COPIED)}

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """Inputs float32 (n, T + 20, symbols + 2), labels int64 (n, T + 20)."""
        blank, delimiter, device = self.symbols, self.symbols + 1, generator.device
        copied = torch.randint(self.symbols, (n, COPIED), generator=generator, device=device)
        labels_BT = torch.full((n, self.length + 2 * COPIED), blank, device=device)
        input_BT = labels_BT.clone()
        input_BT[:, :COPIED] = copied
        input_BT[:, COPIED + self.length - 1] = delimiter
        labels_BT[:, -COPIED:] = copied
        return Batch(torch.eye(self.num_classes, device=device)[input_BT], labels_BT)


def load(config: DataConfig, root: Path, run_seed: int) -> Copying:
    """Delay data.length, data.symbols symbols; data.limit keeps the first rows of validation and test.

    `root` and `run_seed` are not used. Raises UserError for a key that is null.
    """
    return Copying(**settings(config, "length", "symbols"))
