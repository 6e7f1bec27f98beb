"""MNIST's files: written from a stand-in's contents, damaged, loaded, and compared with these."""

import gzip
from pathlib import Path

import numpy as np

from momentum_exp.config import DataConfig
from momentum_exp.data import load_dataset
from momentum_exp.data.labelled import Labelled

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def write(folder: Path, contents: dict[str, bytes], *, packed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)


def load(root: Path, validation: int | None = None) -> Labelled:
    dataset = load_dataset(DataConfig(name="mnist", validation=validation), root, 0)
    assert isinstance(dataset, Labelled)
    return dataset


def check_small(dataset: Labelled, contents: dict[str, bytes]) -> None:
    for split, part in ((dataset.train, "train"), (dataset.test, "t10k")):
        pixels = np.frombuffer(contents[f"{part}-images-idx3-ubyte"][16:], np.uint8).reshape(-1, 784)
        assert np.array_equal(split.inputs_NTD.squeeze(-1).numpy(), pixels.astype(np.float32) / 255)
        assert split.targets.tolist() == list(contents[f"{part}-labels-idx1-ubyte"][8:])


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def alter(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]
