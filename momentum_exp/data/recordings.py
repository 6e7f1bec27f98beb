"""Recordings: the sound files of a folder or of a .tar.gz, by name."""

import os
import tarfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from momentum_exp.errors import UserError


@dataclass(frozen=True)
class Recording:
    """One sound file. name: its place under the root, with `/` between folders; where: its file, for messages."""

    name: str
    where: str
    read: Callable[[], bytes] = field(repr=False, compare=False)


def find_recordings(root: Path, suffixes: Collection[str]) -> list[Recording]:
    """The files under `root` whose name ends in one of `suffixes` (in any case), sorted by name.

    root: a folder, or a .tar.gz, which is read into memory. Hidden files and folders are left out. Raises UserError
    where there is neither or the archive is damaged; each recording's `read` where its file can't be read.
    """
    if root.is_dir():
        files = (Path(folder) / file for folder, _, files in os.walk(root, followlinks=True) for file in files)
        contents = {file.relative_to(root).as_posix(): partial(_read, file) for file in files}
    elif root.name.lower().endswith((".tar.gz", ".tgz")) and root.is_file():
        contents = _unpack(root, suffixes)
    else:
        found = "is no folder and no .tar.gz" if root.exists() else "does not exist"
        raise UserError(f"{root} {found}: expected the folder of the recordings; write data.root=FOLDER")
    return [
        Recording(name, str(root / name), contents[name])
        for name in sorted(contents)
        if name.lower().endswith(tuple(suffixes)) and not any(part.startswith(".") for part in name.split("/"))
    ]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error


def _unpack(archive: Path, suffixes: Collection[str]) -> dict[str, "partial[bytes]"]:
    try:
        with tarfile.open(archive, "r:gz") as members:
            return {
                member.name: partial(bytes, content.read())
                for member in members
                if member.name.lower().endswith(tuple(suffixes)) and (content := members.extractfile(member))
            }
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{archive} is damaged or no .tar.gz ({error}); put a sound copy in its place") from error
