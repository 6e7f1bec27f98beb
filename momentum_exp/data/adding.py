"""The adding problem: two of many numbers are marked (Hochreiter and Schmidhuber 1997; Arjovsky et al. 2016)."""

from dataclasses import dataclass
from pathlib import Path

import torch

from momentum_exp.config import DataConfig
from momentum_exp.data.dataset import Batch
from momentum_exp.data.generated import Generated, settings
from momentum_exp.errors import UserError

OPTIONS = ("length", "steps_per_epoch", "limit")


@dataclass(frozen=True, eq=False, kw_only=True)
class Adding(Generated):
    """T steps of two features: a number uniform in [0, 1), and 1 at two steps, 0 elsewhere; the target is the sum.

    One mark is in the first half, steps 0 to T // 2 - 1, the other in the second, each uniform. The target is the
    sum of the two marked numbers. (In 1997 the numbers were in [-1, 1] and the sum was scaled to [0, 1].)
    """

    length: int
    num_features = 2

    @property
    def baselines(self) -> dict[str, float]:
        """Who always says 1, the mean, errs by the variance of the sum of two uniform numbers: 2 / 12."""
        return {"always 1": 1 / 6}

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """Inputs float32 (n, T, 2), targets float32 (n,)."""
        half, device = self.length // 2, generator.device
        number_BT = torch.rand(n, self.length, generator=generator, device=device)
        early = torch.randint(half, (n, 1), generator=generator, device=device)
        late = torch.randint(half, self.length, (n, 1), generator=generator, device=device)
        marks_B2 = torch.cat([early, late], dim=1)
        mark_BT = torch.zeros_like(number_BT).scatter_(1, marks_B2, 1.0)
        return Batch(torch.stack([number_BT, mark_BT], dim=2), number_BT.gather(1, marks_B2).sum(1))


def load(config: DataConfig, root: Path, run_seed: int) -> Adding:
    """Sequences of data.length steps; data.limit keeps the first rows of validation and test.

    `root` and `run_seed` are not used. Raises UserError for a key that is null or fewer than 2 steps.
    """
    values = settings(config, "length")
    if values["length"] < 2:
        raise UserError(
            f"data.length={values['length']}: adding marks a number in each half of a sequence, so it takes 2 or more; "
            "write for example data.length=150"
        )
    return Adding(**values)
