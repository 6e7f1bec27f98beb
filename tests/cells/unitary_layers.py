"""Small layers of the unitary recurrences in float64."""

import pytest
import torch

import momentum_exp as mx

CELLS = [("urnn", {}), ("full_urnn", {}), ("eunn", {"capacity": 3}), ("eunn", {"rotation_style": "fft"})]
D, H, T, B = 2, 4, 5, 3
every_cell = pytest.mark.parametrize(("recurrence", "options"), CELLS, ids=["urnn", "full", "tunable", "fft"])


def make(recurrence, **options):
    """A layer whose parameters and states are complex128, if nothing else is asked for."""
    return mx.Recurrent(D, H, recurrence=recurrence, **{"dtype": torch.float64, **options})


def close(a, b, tolerance=1e-12):
    """To an absolute tolerance, for complex numbers too."""
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)
