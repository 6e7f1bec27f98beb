"""Files that a kill at any moment leaves either as they were or complete."""

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def write_whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, bring it to the disk, then rename it to `path`.

    Raises OSError (disk full, read-only folder) with the former content of `path` untouched.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text_whole(path: Path, text: str) -> None:
    """`write_whole` for a text in UTF-8."""
    write_whole(path, lambda file: file.write(text.encode()))


def append_line(path: Path, line: str) -> None:
    """Append one line and bring it to the operating system, so that a kill loses at most this line.

    Raises OSError (disk full) with the file as it was before.
    """
    content = line.encode() + b"\n"
    with open(path, "ab", buffering=0) as file:
        size = file.tell()
        try:
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            file.truncate(size)
            raise
