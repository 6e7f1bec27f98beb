"""Checkpoints that survive a kill at any moment: written whole, the one before kept, checked when read."""

import io
import os
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from momentum_exp.files import write_whole

CURRENT, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


class CorruptCheckpoint(Exception):
    """A checkpoint file that cannot be read; the message says why."""


def save_checkpoint(folder: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, strings in dicts and lists) beside the last checkpoint, then swap.

    A kill between the two renames leaves the previous checkpoint alone, which `load_checkpoint` takes.
    """
    fresh = folder / f".{CURRENT}.fresh"
    buffer = io.BytesIO()  # torch.save into a file would hide what the disk says behind an error of its own
    torch.save(content, buffer)
    write_whole(fresh, lambda file: file.write(buffer.getbuffer()))
    if (folder / CURRENT).exists():
        os.replace(folder / CURRENT, folder / PREVIOUS)
    os.replace(fresh, folder / CURRENT)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, dict[Path, str]]:
    """The newest readable checkpoint of `folder` on the CPU (None: there is none).

    Beside it the corrupt files that were met on the way, each with the reason. Raises OSError and MemoryError
    where a file could not be read: that says nothing about its content.
    """
    corrupt: dict[Path, str] = {}
    for path in (folder / CURRENT, folder / PREVIOUS):
        if path.exists():
            try:
                return read_checkpoint(path), corrupt
            except CorruptCheckpoint as error:
                corrupt[path] = str(error)
    return None, corrupt


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read one file without ever executing code from it.

    Raises CorruptCheckpoint when the file is truncated, altered (the archive's checksums are verified, which
    torch itself does not do) or holds anything but plain values; OSError and MemoryError as they come.
    """
    buffer = io.BytesIO(path.read_bytes())  # what the disk says is said here, what the content says below
    try:
        with zipfile.ZipFile(buffer) as archive:
            if bad := archive.testzip():
                raise CorruptCheckpoint(f"wrong checksum in {bad}")
        buffer.seek(0)
        content = torch.load(buffer, map_location="cpu", weights_only=True)
    except (CorruptCheckpoint, MemoryError):
        raise
    except Exception as error:
        raise CorruptCheckpoint(str(error).partition(". ")[0] or type(error).__name__) from error
    if not isinstance(content, dict):
        raise CorruptCheckpoint("not a checkpoint of this project")
    return content


def set_aside(paths: Iterable[Path]) -> list[Path]:
    """Rename what exists of `paths`, in this order, to `<name>.before-<UTC time>.<ending>`; the new paths."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return [path.rename(path.with_name(f"{path.stem}.before-{now}{path.suffix}")) for path in paths if path.exists()]
