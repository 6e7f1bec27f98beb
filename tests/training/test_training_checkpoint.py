"""A checkpoint is read as it was written, or refused."""

import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from momentum_exp.training.checkpoint import (
    CURRENT,
    PREVIOUS,
    CorruptCheckpoint,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    set_aside,
)


def content(step: int) -> dict[str, Any]:
    torch.manual_seed(step)
    return {"model": {"w": torch.randn(50, 3)}, "progress": {"step": step, "sums": {"loss": [0.1, 1.0]}}, "rng": "x"}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (
        torch.equal(one["model"]["w"], other["model"]["w"])
        and one["progress"] == other["progress"]
        and one["rng"] == other["rng"]
    )


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) == (None, {})
    for step in range(3):
        save_checkpoint(tmp_path, content(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([CURRENT, PREVIOUS])
    newest, corrupt = load_checkpoint(tmp_path)
    assert newest is not None
    assert same(newest, content(2))
    assert corrupt == {}
    assert same(read_checkpoint(tmp_path / PREVIOUS), content(1))


def test_one_changed_bit_anywhere_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, content(0))
    path, chance, refused = tmp_path / CURRENT, random.Random(0), 0
    sound = path.read_bytes()
    for _ in range(400):
        altered = bytearray(sound)
        altered[chance.randrange(len(sound))] ^= 1 << chance.randrange(8)
        path.write_bytes(altered)
        try:
            read = read_checkpoint(path)
        except CorruptCheckpoint:
            refused += 1
        else:
            assert same(read, content(0))
    assert refused > 100


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, -1])
def test_a_cut_file_is_refused(tmp_path: Path, kept: float) -> None:
    save_checkpoint(tmp_path, content(0))
    save_checkpoint(tmp_path, content(1))
    whole = (tmp_path / CURRENT).read_bytes()
    (tmp_path / CURRENT).write_bytes(whole[: int(kept * len(whole)) if kept == 0.5 else int(kept)])
    found, corrupt = load_checkpoint(tmp_path)
    assert found is not None
    assert same(found, content(0))
    ((path, reason),) = corrupt.items()
    assert path == tmp_path / CURRENT
    assert reason
    assert "\n" not in reason
    assert "\x1b" not in reason


def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / CURRENT)
    with pytest.raises(CorruptCheckpoint, match="not a checkpoint of this project"):
        read_checkpoint(tmp_path / CURRENT)


def test_no_class_is_loaded(tmp_path: Path) -> None:
    torch.save({"model": Path("x")}, tmp_path / CURRENT)
    with pytest.raises(CorruptCheckpoint):
        read_checkpoint(tmp_path / CURRENT)


def test_a_write_that_fails_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, content(0))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, content(1))
    assert [path.name for path in tmp_path.iterdir()] == [CURRENT]
    assert same(read_checkpoint(tmp_path / CURRENT), content(0))


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "I/O error"), MemoryError()])
def test_what_cannot_be_read_is_not_called_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    save_checkpoint(tmp_path, content(0))
    save_checkpoint(tmp_path, content(1))

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(type(error)):
        load_checkpoint(tmp_path)


def test_memory_that_runs_out_while_it_is_read_is_not_corruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, content(0))

    def exhaust(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", exhaust)
    with pytest.raises(MemoryError):
        load_checkpoint(tmp_path)


def test_what_is_set_aside_keeps_its_content_and_ending(tmp_path: Path) -> None:
    (tmp_path / PREVIOUS).write_text("old")
    (path,) = set_aside([tmp_path / CURRENT, tmp_path / PREVIOUS])
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"
    assert re.fullmatch(r"checkpoint\.previous\.before-\d{8}T\d{6}Z\.pt", path.name)
