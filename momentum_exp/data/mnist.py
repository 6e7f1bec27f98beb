"""Pixel MNIST: 28 x 28 handwritten digits read row by row (paper 3.1)."""

import hashlib
import http.client
import logging
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from momentum_exp.config import DataConfig
from momentum_exp.data.labelled import Labelled, Split, arranged, hold_out
from momentum_exp.errors import UserError

log = logging.getLogger(__name__)

OPTIONS = ("permutation", "root", "validation", "limit")

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""The four files and the checksums of their uncompressed content."""

FOLDERS = ("MNIST/raw", "raw", ".")
"""Where the files may lie under the root; the first is torchvision's layout, and where a download goes."""

TIMEOUT_SECONDS = 20.0


def load(config: DataConfig, root: Path, run_seed: int) -> Labelled:
    """28 x 28 images read row by row: T = 784 steps of D = 1 feature, in [0, 1]; 10 classes.

    60,000 train and 10,000 test rows; the last data.validation train rows are held out (None: 0, the paper's
    protocol). Each file is taken raw or as .gz from `root`; where one is missing it is downloaded.

    Raises UserError if data.validation is out of range, a file is damaged, or a download fails.
    """
    files = _find(root)
    if len(files) < len(MD5):
        _download(root, missing=[name for name in MD5 if name not in files])
        files = _find(root)
    train, val = hold_out(_split(files, "train"), config.validation or 0)
    return arranged(Labelled(train, val, _split(files, "t10k"), num_features=1, num_classes=10), config, run_seed)


def _find(root: Path) -> dict[str, Path]:
    """The files that are there: raw before .gz, an earlier folder before a later one."""
    candidates = [root / folder / f"{name}{end}" for name in MD5 for end in ("", ".gz") for folder in FOLDERS]
    return {path.stem: path for path in reversed(candidates) if path.is_file()}


def _split(files: dict[str, Path], part: str) -> Split:
    images_NHW = torch.from_numpy(_read(files[f"{part}-images-idx3-ubyte"]))
    labels = torch.from_numpy(_read(files[f"{part}-labels-idx1-ubyte"]))
    return Split(images_NHW.flatten(1).unsqueeze(-1).float().div_(255), labels.long())


def _read(path: Path) -> NDArray[np.uint8]:
    """One idx file as an array: two zero bytes, a type, the number of dimensions, their sizes, the values."""
    content = bytearray(_gunzip(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    found, expected = hashlib.md5(content, usedforsecurity=False).hexdigest(), MD5[path.stem]
    if found != expected:
        raise UserError(
            f"{path} is damaged: the md5 of its uncompressed content is {found}, expected {expected}; "
            "put a sound copy in its place, or delete it to have it downloaded again"
        )
    num_dimensions = content[3]
    sizes = np.frombuffer(content, ">u4", num_dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * num_dimensions).reshape(sizes)


def _gunzip(packed: bytes) -> bytes:
    """The content, or as much of it as a damaged stream gives: the checksum tells."""
    stream, pieces = zlib.decompressobj(wbits=31), []
    with suppress(zlib.error):
        for start in range(0, len(packed), 2**16):
            pieces.append(stream.decompress(packed[start : start + 2**16]))
    return b"".join(pieces)


def _download(root: Path, missing: list[str]) -> None:
    """Bring the `missing` files to root/MNIST/raw, each whole or not at all."""
    from torchvision.datasets import MNIST

    log.info("downloading MNIST to %s", root)
    target = root / FOLDERS[0]
    try:
        existing = next(folder for folder in (target, *target.parents) if folder.is_dir())
        with tempfile.TemporaryDirectory(prefix=".mnist-", dir=existing) as temporary, _socket_timeout():
            MNIST(temporary, download=True)
            target.mkdir(parents=True, exist_ok=True)
            for name in missing:
                (Path(temporary) / "MNIST" / "raw" / name).replace(target / name)
    except (RuntimeError, OSError, http.client.HTTPException) as error:
        raise UserError(
            f"MNIST is not in {root} (missing: {', '.join(missing)}, raw or .gz) and the download failed. "
            f"Either put the files into {target}, or name the folder that has them with paths.data=FOLDER or "
            "the environment variable MOMENTUM_EXP_DATA, or train on the digits that need no download: "
            f"data=digits or data=pdigits. The download said: {' '.join(str(error).split())}"
        ) from error


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """torchvision sets no timeout, and a silent network would hold the run for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
