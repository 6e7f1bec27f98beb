"""The TIMIT sample that NLTK distributes: 16 speakers, 160 sentences, RIFF files such as `dr1-fvmh0/sa1.wav`."""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from momentum_exp.config import DataConfig
from momentum_exp.data.frames import Frames
from momentum_exp.data.recordings import Recording, find_recordings
from momentum_exp.data.speech import OPTIONS as OPTIONS
from momentum_exp.data.speech import PROTOCOLS as PROTOCOLS
from momentum_exp.data.speech import speech_frames
from momentum_exp.data.speech_cache import cached_frames
from momentum_exp.data.timit import RATE
from momentum_exp.errors import UserError

SENTENCE = re.compile(r"(?:.*/)?(dr[1-8]-[a-z0-9]{5})/(?:si|sx)\d+\.wav")
SPEAKERS, SENTENCES = 16, 128
HELD_OUT = 2  # speakers, in each of validation and test


def load(config: DataConfig, root: Path, run_seed: int) -> Frames:
    """The 128 sentences that are not SA, split by speaker: 12, 2 and 2 of them, 96, 16 and 16 sentences.

    The speakers are ordered by region and name: those of region 8 are the test split, those of region 7 the
    validation split, a woman and a man each.

    data.root, or `timit_sample` or `timit_sample.tar.gz` in `root`, is the folder or the .tar.gz of it. `run_seed` is
    not used. Raises UserError where the sample is not there, not whole, or has a recording that can't be used.
    """
    given = Path(config.root) if config.root else root / "timit_sample"
    packed = given.with_name(f"{given.name}.tar.gz")
    source = packed if packed.exists() and not given.exists() else given
    speakers: dict[str, list[Recording]] = defaultdict(list)
    for recording in find_recordings(source, (".wav",)):
        if match := SENTENCE.fullmatch(recording.name.lower()):
            speakers[match[1]].append(recording)
    recordings = [recording for name in sorted(speakers) for recording in speakers[name]]
    if (len(speakers), len(recordings)) != (SPEAKERS, SENTENCES):
        raise UserError(
            f"{source} is not the TIMIT sample: it has {len(speakers)} speakers with {len(recordings)} sentences, SA "
            f"apart, not {SPEAKERS} with {SENTENCES}; expected folders such as dr1-fvmh0 with files such as sx206.wav, "
            "or a .tar.gz of them; write data.root=FOLDER"
        )
    frames = cached_frames(recordings, source, RATE)

    def of(part: list[str]) -> list[NDArray[np.float32]]:
        return [frames[recording.name] for name in part for recording in speakers[name]]

    order = sorted(speakers)
    return speech_frames(
        config, of(order[: -2 * HELD_OUT]), of(order[-2 * HELD_OUT : -HELD_OUT]), of(order[-HELD_OUT:])
    )
