"""MNIST: the real files where they are at hand, a small stand-in for everything that can go wrong."""

import functools
import gzip
import hashlib
import http.server
import os
import shutil
import socket
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST
from torchvision.transforms.functional import to_tensor

from momentum_exp.config import DataConfig
from momentum_exp.data import load_dataset, mnist
from momentum_exp.data.labelled import Labelled
from momentum_exp.errors import UserError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
SIZES = {"train": 20, "t10k": 8}


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The four files in small, taken for the real ones."""
    random = np.random.default_rng(0)
    files = {}
    for part, size in SIZES.items():
        files[f"{part}-images-idx3-ubyte"] = idx(random.integers(0, 256, (size, 28, 28), dtype=np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx(random.integers(0, 10, size, dtype=np.uint8))
    monkeypatch.setattr(mnist, "MD5", {name: hashlib.md5(data).hexdigest() for name, data in files.items()})
    return files


def use_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """Send HTTP through `proxy` ("": directly)."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # urllib remembers the proxies of its first call


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    use_proxy(monkeypatch, "http://127.0.0.1:9")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the four files packed, served to torchvision as its only mirror."""
    served = tmp_path / "served"
    write(served, contents, packed=True)
    checksums = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(served.iterdir())]
    monkeypatch.setattr(MNIST, "resources", checksums)
    use_proxy(monkeypatch, "")
    handler = functools.partial(QuietHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield served
        server.shutdown()


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


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", ["MNIST/raw", "raw", "."])
def test_files_are_found_raw_or_packed(contents: dict[str, bytes], tmp_path: Path, folder: str, packed: bool) -> None:
    write(tmp_path / folder, contents, packed=packed)
    check_small(load(tmp_path), contents)


def test_a_raw_file_comes_before_a_packed_one(contents: dict[str, bytes], tmp_path: Path) -> None:
    write(tmp_path, contents)
    write(tmp_path / "MNIST" / "raw", dict.fromkeys(contents, b"damaged"), packed=True)
    check_small(load(tmp_path), contents)


def test_the_last_training_rows_are_held_out(contents: dict[str, bytes], tmp_path: Path) -> None:
    write(tmp_path, contents)
    whole, parted = load(tmp_path), load(tmp_path, validation=6)
    assert whole.val is None
    assert load(tmp_path, validation=0).val is None
    assert parted.val is not None
    assert torch.equal(parted.train.inputs_NTD, whole.train.inputs_NTD[:14])
    assert torch.equal(parted.val.inputs_NTD, whole.train.inputs_NTD[14:])
    assert torch.equal(parted.val.targets, whole.train.targets[14:])
    for outside in (-1, 20):
        with pytest.raises(UserError, match=rf"data\.validation={outside}: .*to 19"):
            load(tmp_path, validation=outside)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def alter(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]


def empty(data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [half, alter, empty])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", [IMAGES, "t10k-labels-idx1-ubyte"])
def test_a_damaged_file_is_named_with_both_checksums(
    contents: dict[str, bytes], tmp_path: Path, name: str, packed: bool, damage: Callable[[bytes], bytes]
) -> None:
    write(tmp_path, contents, packed=packed)
    path = tmp_path / f"{name}.gz" if packed else tmp_path / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError) as error:
        load(tmp_path)
    message = str(error.value)
    assert str(path) in message
    assert f"expected {hashlib.md5(contents[name]).hexdigest()}" in message
    if not packed:
        assert f"is {hashlib.md5(path.read_bytes()).hexdigest()}" in message
    assert "put a sound copy in its place, or delete it" in message


def test_the_checksum_of_a_truncated_packed_file_is_of_what_can_be_read(
    contents: dict[str, bytes], tmp_path: Path
) -> None:
    write(tmp_path, contents)
    (tmp_path / IMAGES).unlink()
    packed = gzip.compress(contents[IMAGES], compresslevel=0)  # stored, so that its half is half the content
    (tmp_path / f"{IMAGES}.gz").write_bytes(half(packed))
    with pytest.raises(UserError) as error:
        load(tmp_path)
    found = str(error.value).split("content is ")[1][:32]
    assert found in {hashlib.md5(contents[IMAGES][:n]).hexdigest() for n in range(len(packed))}
    assert found != hashlib.md5(b"").hexdigest()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("root", [".", "not/yet/there"])
def test_missing_without_network_tells_the_ways_forward(tmp_path: Path, root: str) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path / root)
    message = str(error.value)
    for way in (
        *mnist.MD5,
        str(tmp_path / root / "MNIST/raw"),
        "paths.data=",
        "MOMENTUM_EXP_DATA",
        "data=pdigits",
    ):
        assert way in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_network")
def test_only_the_missing_file_is_asked_for(contents: dict[str, bytes], tmp_path: Path) -> None:
    write(tmp_path, contents)
    (tmp_path / LABELS).unlink()
    with pytest.raises(UserError, match=rf"\(missing: {LABELS}, raw or \.gz\)"):
        load(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(contents) - {LABELS}


def test_missing_files_are_downloaded(mirror: Path, contents: dict[str, bytes], tmp_path: Path) -> None:
    root = tmp_path / "new" / "data"
    check_small(load(root), contents)
    assert {path.name for path in (root / "MNIST" / "raw").iterdir()} == set(contents)
    assert list(root.iterdir()) == [root / "MNIST"]
    shutil.rmtree(mirror)
    check_small(load(root), contents)


def test_a_download_leaves_the_files_that_are_there(mirror: Path, contents: dict[str, bytes], tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    write(raw, {name: data for name, data in contents.items() if name != LABELS})
    before = (raw / IMAGES).stat()
    check_small(load(tmp_path), contents)
    after = (raw / IMAGES).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("damage", [half, alter, None])
def test_a_download_that_fails_midway_leaves_nothing(
    mirror: Path, tmp_path: Path, damage: Callable[[bytes], bytes] | None
) -> None:
    last = sorted(mirror.iterdir())[-1]
    if damage is None:
        last.unlink()
    else:
        last.write_bytes(damage(last.read_bytes()))
    with pytest.raises(UserError, match=f"the download failed.*Error downloading {last.name}"):
        load(tmp_path / "new" / "data")
    assert list(tmp_path.iterdir()) == [mirror]


def test_a_silent_network_is_given_up(
    contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "TIMEOUT_SECONDS", 0.1)
    before = socket.getdefaulttimeout()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_proxy(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UserError, match="timed out"):
            load(tmp_path)
    assert socket.getdefaulttimeout() == before != 0.1
    assert list(tmp_path.iterdir()) == []


# The real files.


@pytest.fixture(scope="module")
def real_root() -> Path:
    beside = Path(__file__).parents[3] / "shared" / "data"
    root = Path(os.environ.get("MOMENTUM_EXP_DATA", beside))
    if len(mnist._find(root)) < 4:
        pytest.skip("no MNIST at MOMENTUM_EXP_DATA")
    return root


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
