"""What every test of the cells begins with."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Weights and data are the same, whichever tests ran before."""
    torch.manual_seed(0)
