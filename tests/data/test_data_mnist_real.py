"""The real MNIST, where it is at hand: its counts and rows, and that torchvision reads the same."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mnist_files import load
from torchvision.datasets import MNIST
from torchvision.transforms.functional import to_tensor

from momentum_exp.data import mnist
from momentum_exp.data.labelled import Labelled


@pytest.fixture(scope="module")
def real_root(real_data: Callable[[str], Path]) -> Path:
    return real_data("MNIST/raw")


@pytest.fixture(scope="module")
def real(real_root: Path) -> Labelled:
    return load(real_root)


def test_real_counts_and_first_rows(real: Labelled) -> None:
    assert real.train.inputs_NTD.shape == (60000, 784, 1)
    assert real.test.inputs_NTD.shape == (10000, 784, 1)
    assert real.train.inputs_NTD.dtype == torch.float32
    assert real.val is None
    assert (real.num_features, real.num_classes) == (1, 10)
    assert real.train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert real.test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    classes = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert real.train.targets.bincount().tolist() == classes
    assert real.train.inputs_NTD.double().mean().item() == pytest.approx(0.1306604762738429)


def test_real_files_raw_and_read_by_torchvision(real: Labelled, real_root: Path, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, path in mnist._find(real_root).items():
        content = path.read_bytes()
        (raw / name).write_bytes(gzip.decompress(content) if path.suffix == ".gz" else content)
    again = load(tmp_path)
    for ours, train in ((real.train, True), (real.test, False)):
        theirs = MNIST(tmp_path, train=train)
        assert torch.equal(ours.inputs_NTD.squeeze(-1), theirs.data.flatten(1).float() / 255)
        assert torch.equal(ours.targets, theirs.targets)
        for row in (0, 1, len(theirs) - 1):
            assert torch.equal(ours.inputs_NTD[row], to_tensor(theirs[row][0]).reshape(784, 1))
    assert torch.equal(again.train.inputs_NTD, real.train.inputs_NTD)
    assert torch.equal(again.test.targets, real.test.targets)
