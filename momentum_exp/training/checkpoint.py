"""Checkpoints that survive a kill at any moment: written whole, the one before kept, checked when read."""

import io
import os
import zipfile
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


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest readable checkpoint of `folder` on the CPU (None: there is none) and what was found corrupt."""
    complaints: list[str] = []
    for name in (CURRENT, PREVIOUS):
        if (folder / name).exists():
            try:
                return read_checkpoint(folder / name), complaints
            except CorruptCheckpoint as error:
                complaints.append(f"{name} is corrupt ({error})")
    return None, complaints


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read one file without ever executing code from it.

    Raises CorruptCheckpoint when the file is truncated, altered (the archive's checksums are verified, which
    torch itself does not do) or holds anything but plain values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if bad := archive.testzip():
                raise CorruptCheckpoint(f"wrong checksum in {bad}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except CorruptCheckpoint:
        raise
    except Exception as error:
        raise CorruptCheckpoint(str(error).partition(". ")[0] or type(error).__name__) from error
    if not isinstance(content, dict):
        raise CorruptCheckpoint("not a checkpoint of this project")
    return content
