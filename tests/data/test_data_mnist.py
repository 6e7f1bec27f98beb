"""MNIST's files, by a small stand-in: found raw or packed, parted, and named with both checksums if damaged."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mnist_files import IMAGES, alter, check_small, half, load, write

from momentum_exp.errors import UserError


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
