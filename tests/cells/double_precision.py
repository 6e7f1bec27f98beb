"""Random numbers in float64, and whether two results agree to its rounding."""

import torch


def data(*shape):
    """Standard normal numbers, for inputs and for states."""
    return torch.randn(*shape, dtype=torch.float64)


def close(a, b, **tolerance):
    """Tensors, or mappings and lists of them, equal to rounding if no other tolerance is given."""
    torch.testing.assert_close(a, b, **{"rtol": 1e-10, "atol": 1e-12, **tolerance})
