"""Any folder of recordings: wav or flac, at any sampling rate from 8 kHz on."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from momentum_exp.config import DataConfig
from momentum_exp.data.frames import Frames
from momentum_exp.data.recordings import Recording, find_recordings
from momentum_exp.data.speech_cache import cached_frames
from momentum_exp.data.speech_features import BINS, SILENCE_DB
from momentum_exp.errors import UserError

OPTIONS = ("root", "checksum", "limit", "protocol", "padding_frame", "exchange_frames")

PROTOCOLS = {
    "released": {"padding_frame": True, "exchange_frames": True},
    "clean": {"padding_frame": False, "exchange_frames": False},
}
"""What data.protocol sets; see `speech_frames`."""

FEWEST_GROUPS = 3


def load(config: DataConfig, root: Path, run_seed: int) -> Frames:
    """The frames of all wav and flac files under data.root, or the folder `speech` of `root`, at any depth.

    Split by a rule that depends on names alone. The groups are the subfolders, a speaker each say, where at least
    three have recordings (recordings beside them are one more); otherwise each recording is a group of its own. In
    the order of the SHA-256 of their names, the first tenth of the groups, at least one, is the test split, as many
    more are the validation split, all others the training split. `run_seed` is not used.

    Raises UserError where there are fewer than three recordings, for one that can't be used, and where they are not
    those of data.checksum.
    """
    folder, recordings = find(config, root)
    if len(recordings) < FEWEST_GROUPS:
        raise UserError(
            f"{folder} has {len(recordings)} recordings: expected {FEWEST_GROUPS} or more files .wav or .flac; "
            "write data.root=FOLDER"
        )
    if config.checksum is not None and config.checksum != (found := checksum(config, root)):
        raise UserError(
            f"data.checksum={config.checksum}: the recordings of {folder} have data.checksum={found}; write that, "
            "leave it out, or bring back what they were"
        )
    frames = cached_frames(recordings, folder, rate=None)
    train, val, test = ([frames[name] for name in part] for part in split_by_name(list(frames)))
    return speech_frames(config, train, val, test)


def find(config: DataConfig, root: Path) -> tuple[Path, list[Recording]]:
    """The folder that `load` takes, and the recordings in it, sorted by name. Raises UserError where it is none."""
    folder = Path(config.root) if config.root else root / "speech"
    return folder, find_recordings(folder, (".wav", ".flac"))


def checksum(config: DataConfig, root: Path) -> str:
    """`sha` and 16 hexadecimal digits of the recordings' names and contents. Raises UserError for unreadable ones."""
    contents = {one.name: hashlib.sha256(one.read()).hexdigest() for one in find(config, root)[1]}
    return f"sha{hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:16]}"


def split_by_name(names: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The names of training, validation and test recordings by the rule of `load`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[name.partition("/")[0] if "/" in name else ""].append(name)
    if len(groups.keys() - {""}) < FEWEST_GROUPS:
        groups = {name: [name] for name in names}
    order = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest())
    n = max(1, len(order) // 10)

    def members(part: Sequence[str]) -> list[str]:
        return [name for group in part for name in groups[group]]

    return members(order[2 * n :]), members(order[n : 2 * n]), members(order[:n])


def speech_frames(
    config: DataConfig,
    train: Sequence[NDArray[np.float32]],
    val: Sequence[NDArray[np.float32]],
    test: Sequence[NDArray[np.float32]],
) -> Frames:
    """The data set of three splits of recordings' frames (L, 129): the first data.limit recordings of each.

    Two switches repeat what the release's preparation does (its README; stwisdom/urnn, lezcano/expRNN):

    padding_frame: the shift by one frame moves a frame of padding, -50 dB, in behind each recording.
    exchange_frames: the shifted frames are the input, the others the target. The net then reads frame t + 1 and is
        asked for frame t, its input of the step before: it has to remember a frame, not to predict one.
    """
    train, val, test = (part[: config.limit] for part in (train, val, test))
    padding = SILENCE_DB if config.padding_frame else None
    return Frames(train, val, test, num_features=BINS, padding=padding, exchanged=bool(config.exchange_frames))
