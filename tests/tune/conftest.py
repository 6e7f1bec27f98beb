"""What every test of tuning gives back."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """torch's process-wide switches are given back afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
