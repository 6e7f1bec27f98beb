"""The order in which a permuted data set shows its pixels: a protocol by name."""

import numpy as np
import torch
from torch import Tensor

from momentum_exp.errors import UserError

FIXED_SEED = 92916
"""The seed of most papers on permuted MNIST (paper 3.1), so that all their runs share one order."""


def pixel_permutation(protocol: str | int, length: int, run_seed: int) -> Tensor:
    """The pixel shown at each step: int64 (length,), to be applied to every split alike.

    - `released`: RandomState(run_seed).permutation(length), a different order for each run's seed, as in the
      authors' code (paper 3.1).
    - `fixed`: the same with seed 92916, whatever the run's seed.
    - a number (also as a string of digits): the same with that seed, 0 to 2**32 - 1.
    - `bit_reversal`: indices sorted by their reversed binary digits, as S4 does it. For a length that is not
      a power of two, the indices have ceil(log2(length)) digits and those at or beyond `length` are left out.

    Raises UserError for any other protocol.
    """
    name = str(protocol)
    if name == "bit_reversal":
        digits = (length - 1).bit_length()
        return torch.tensor(sorted(range(length), key=lambda index: f"{index:0{digits}b}"[::-1]))
    if name == "released":
        seed = run_seed
    elif name == "fixed":
        seed = FIXED_SEED
    elif name.isdecimal() and int(name) < 2**32:
        seed = int(name)
    else:
        raise UserError(
            f"data.permutation={name}: it is released (from the run's seed), fixed (seed {FIXED_SEED}), "
            f"bit_reversal, or a seed from 0 to {2**32 - 1}; write for example data.permutation=fixed"
        )
    return torch.from_numpy(np.random.RandomState(seed).permutation(length).astype(np.int64))
