"""MNIST's files where some are missing: downloaded whole or not at all, and the ways forward without a network."""

import functools
import hashlib
import http.server
import shutil
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mnist_files import IMAGES, LABELS, alter, check_small, half, load, write
from torchvision.datasets import MNIST

from momentum_exp.data import mnist
from momentum_exp.errors import UserError


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
