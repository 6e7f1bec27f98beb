"""Files from a source of the user's choosing: checked, and whole or not at all."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from momentum_exp.errors import UserError
from momentum_exp.files import write_whole

TIMEOUT_SECONDS = 20.0
LARGEST = 256 << 20  # bytes; a source that sends more is not the one that was meant


def fetch(base: str, sha256: Mapping[str, str], folder: Path) -> None:
    """Download every file of `sha256`, a name and the checksum of its content, from `base`/name into `folder`.

    All are checked before the first one is written. Raises UserError for a source that can't be reached or sends
    something else; then nothing is left on the disk.
    """
    contents = {name: _download(f"{base.rstrip('/')}/{name}") for name in sha256}
    for name, content in contents.items():
        if (found := hashlib.sha256(content).hexdigest()) != sha256[name]:
            raise UserError(
                f"data.url={base}: the {name} it sends is not the expected file (its sha256 is {found}, expected "
                f"{sha256[name]}; {len(content)} bytes); name another source, or put the files into {folder}"
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_whole(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]


def _download(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response:
            content: bytes = response.read(LARGEST)
            return content
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(
            f"data.url: {address} can't be downloaded ({' '.join(str(error).split())}); "
            "write the address of a folder that has the files, for example data.url=https://HOST/FOLDER"
        ) from error
