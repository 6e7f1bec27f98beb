"""A small stand-in for MNIST, by which all that can go wrong with its files is tested."""

import hashlib
import struct

import numpy as np
import pytest

from momentum_exp.data import mnist

SIZES = {"train": 20, "t10k": 8}


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The four files of MNIST in small, taken for the real ones."""
    random = np.random.default_rng(0)
    files = {}
    for part, size in SIZES.items():
        files[f"{part}-images-idx3-ubyte"] = idx(random.integers(0, 256, (size, 28, 28), dtype=np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx(random.integers(0, 10, size, dtype=np.uint8))
    monkeypatch.setattr(mnist, "MD5", {name: hashlib.md5(data).hexdigest() for name, data in files.items()})
    return files
