"""The frames of recordings, computed once and then mapped into memory from a cache on the disk.

A cache is a folder `speech-v<version>-<key>` with `frames.npy`, all frames (sum of L, 129) float32 one after the
other, and `starts.npy`, where each recording begins, int64, one more than there are recordings. The key is a
checksum of the recordings' contents in their order, and of how frames are computed; so a cache whose recordings
change is a new one. It appears whole or not at all.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from momentum_exp.data.recordings import Recording
from momentum_exp.data.speech_features import BINS, FLOOR, HOP, RATE, WINDOW, log_spectra, read_speech
from momentum_exp.errors import UserError

VERSION = 1
NAME = ".momentum_exp_cache"


def cached_frames(recordings: Sequence[Recording], root: Path, rate: int | None) -> dict[str, NDArray[np.float32]]:
    """The frames (L, 129) of each recording by its name, mapped from the cache; it is made first where there is none.

    The cache lies in `root`/.momentum_exp_cache, or else in the user's cache folder, where `root` is no folder or
    can't be written. Several processes may ask at once: one computes, the others wait for it.

    rate: as for `read_speech`. Raises UserError for a recording it refuses, or where no cache can be written; then
    nothing is left on the disk.
    """
    places, name = cache_places(root), f"speech-v{VERSION}-{cache_key(recordings, rate)}"
    frames = next((found for place in places if (found := _open(place / name)) is not None), None)
    if frames is None:
        frames = _make(recordings, rate, places, name)
    return dict(zip((recording.name for recording in recordings), frames, strict=True))


def cache_places(root: Path) -> list[Path]:
    """Where a cache of the recordings of `root` may lie, the first that can be written being where it is made."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "momentum_exp"
    return [root / NAME, user] if root.is_dir() else [user]


def cache_key(recordings: Sequence[Recording], rate: int | None) -> str:
    """16 hexadecimal digits for the recordings' contents, the rate asked of them and the parameters of the frames."""
    contents = [hashlib.sha256(recording.read()).hexdigest() for recording in recordings]
    parameters = {"from": rate, "rate": RATE, "window": WINDOW, "hop": HOP, "floor": FLOOR}
    return hashlib.sha256(json.dumps([parameters, contents], sort_keys=True).encode()).hexdigest()[:16]


def _open(folder: Path) -> list[NDArray[np.float32]] | None:
    """The frames of each recording; None where the cache is not there or is damaged."""
    try:
        frames_NF = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
        starts = np.load(folder / "starts.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return np.split(np.asarray(frames_NF), starts[1:-1]) if len(frames_NF) == starts[-1] else None


def _make(
    recordings: Sequence[Recording], rate: int | None, places: Sequence[Path], name: str
) -> list[NDArray[np.float32]]:
    """The frames from the cache `name`, made in the first place that can be written unless another process did."""
    place = next((place for place in places if _writable(place)), None)
    if place is None:
        tried = " or ".join(map(str, places))
        raise UserError(
            f"the cache of speech frames cannot be written as {tried}; make one of them writable, or set "
            "XDG_CACHE_HOME=FOLDER to a folder that is"
        )
    try:
        with _alone(place, name):
            if (frames := _open(place / name)) is None:
                _compute(recordings, rate, place / name)
                frames = _open(place / name)
    except OSError as error:
        raise UserError(
            f"cannot write the cache of speech frames in {place}: {error.strerror}; make room there"
        ) from error
    assert frames is not None
    return frames


def _writable(place: Path) -> bool:
    nearest = next(folder for folder in (place, *place.parents) if folder.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


@contextlib.contextmanager
def _alone(place: Path, name: str) -> Iterator[None]:
    """Be the only process that makes the cache `name`; what one that was killed had begun is removed.

    Afterwards the lock is gone, and so is the folder where there is nothing else in it.
    """
    lock = FileLock(place / f".{name}.lock")
    while not lock.is_locked:
        place.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # the process before left nothing, not even the folder
            lock.acquire()
    try:
        for begun in place.glob(f".{name}-*"):
            shutil.rmtree(begun)
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        with contextlib.suppress(OSError):
            place.rmdir()


def _compute(recordings: Sequence[Recording], rate: int | None, folder: Path) -> None:
    """Compute all frames into a temporary folder, bring it to the disk, and rename it to `folder`."""
    console = Console(stderr=True)
    what = f"frames of {len(recordings)} recordings"
    if not console.is_interactive:
        console.print(f"computing the {what} into {folder}", soft_wrap=True, highlight=False)
    begun = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        starts = [0]
        with open(begun / "frames.npy", "wb") as file:
            _write_header(file, 0)
            for recording in track(recordings, what, console=console, disable=not console.is_interactive):
                frames_LF = log_spectra(read_speech(recording, rate))
                file.write(frames_LF.tobytes())
                starts.append(starts[-1] + len(frames_LF))
            file.seek(0)
            _write_header(file, starts[-1])
            file.flush()
            os.fsync(file.fileno())
        np.save(begun / "starts.npy", np.array(starts))
        begun.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        begun.rename(folder)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise


def _write_header(file: IO[bytes], frames: int) -> None:
    """The header of an .npy file (frames, 129), always of one size: numpy leaves room for the first axis to grow."""
    described: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (frames, BINS)}
    np.lib.format.write_array_header_1_0(file, described)
