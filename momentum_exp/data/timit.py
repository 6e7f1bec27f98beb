"""TIMIT (LDC93S1): read speech of 630 speakers, ten sentences each (paper 3.2)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from momentum_exp.config import DataConfig
from momentum_exp.data.frames import Frames
from momentum_exp.data.recordings import Recording, find_recordings
from momentum_exp.data.speech import speech_frames
from momentum_exp.data.speech_cache import cached_frames
from momentum_exp.errors import UserError, first_three

OPTIONS = ("root", "limit", "protocol", "padding_frame", "exchange_frames", "drop_sa_speakers", "exchange_splits")

SWITCHES = OPTIONS[3:]
PROTOCOLS = {"released": dict.fromkeys(SWITCHES, True), "clean": dict.fromkeys(SWITCHES, False)}
"""What data.protocol sets: what the release's preparation does, or none of it."""

RATE = 16_000

DEVELOPMENT = (
    "faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 mcsh0 fadg0 fdms0 fedw0 mgjf0 "
    "mglb0 mrtk0 mtaa0 mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 mers0 fmah0 fdrw0 "
    "mrcs0 mrjm4 fcal1 mmwh0 fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0 fmml0 mrws1"
)
"""50 speakers of the test folder (Halberstadt 1998, PhD thesis, MIT; Kaldi's egs/timit/s5/conf/dev_spk.list)."""

CORE_TEST = (
    "mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 "
    "mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0"
)
"""24 speakers of the test folder, two men and one woman of each dialect region (the corpus' own doc/testset.doc)."""

SPEAKERS = {"development": frozenset(DEVELOPMENT.split()), "core test": frozenset(CORE_TEST.split())}
SIZES = {"train": (462, 3696), "development": (50, 400), "core test": (24, 192)}
"""Speakers and sentences of each part, without SA."""

SENTENCE = re.compile(r"(?:.*/)?(train|test)/dr[1-8]/([a-z0-9]{5})/(s[aix]\d+)\.wav")


@dataclass(frozen=True)
class Sentence:
    """A recording of the corpus; all in lower case. usage: the folder `train` or `test`; name: `si1027`, say."""

    usage: str
    speaker: str
    name: str
    recording: Recording

    @property
    def is_sa(self) -> bool:
        """Whether it is one of the two that all speakers read."""
        return self.name.startswith("sa")

    @property
    def dropped(self) -> bool:
        """Whether the release's filter mistakes its speaker for SA."""
        return "sa" in self.speaker


def load(config: DataConfig, root: Path, run_seed: int) -> Frames:
    """The standard 3,696 training sentences, 50-speaker development set and 24-speaker core test set, all without SA.

    data.root, or the folder `timit` of `root`, holds LDC93S1 as distributed, in upper or lower case, NIST SPHERE or
    RIFF. `run_seed` is not used. Two switches repeat what the release's preparation does, as those of `speech_frames`:

    drop_sa_speakers: its filter looks for `sa` in the whole path and so drops seven training speakers: 3,640 left.
    exchange_splits: its validation split is the core test set, its test split the development set.

    Raises UserError where the corpus is not there, not whole, or has a recording that can't be used.
    """
    folder = Path(config.root) if config.root else root / "timit"
    parts = parts_of(find_sentences(folder))
    if found := "; ".join(problem for name, part in parts.items() if (problem := lack(name, part))):
        raise UserError(f"{folder} is not TIMIT as LDC93S1 holds it: {found}. {EXPECTED}")
    frames = prepare(parts, folder)
    train, development, core = (
        [frames[sentence.recording.name] for sentence in part if not (config.drop_sa_speakers and sentence.dropped)]
        for part in parts.values()
    )
    val, test = (core, development) if config.exchange_splits else (development, core)
    return speech_frames(config, train, val, test)


EXPECTED = (
    "Expected is a folder with TRAIN and TEST, in them DR1 to DR8, in each a folder a speaker with files such as "
    "SX127.WAV; write data.root=FOLDER"
)


def find_sentences(root: Path) -> list[Sentence]:
    """All sentences under `root`, whatever the case of their names, in the order of usage, region, speaker, name.

    Raises UserError where `root` is not there.
    """
    recordings = sorted(find_recordings(root, (".wav",)), key=lambda recording: recording.name.lower())
    matches = [(SENTENCE.fullmatch(recording.name.lower()), recording) for recording in recordings]
    return [Sentence(match[1], match[2], match[3], recording) for match, recording in matches if match]


def parts_of(sentences: Sequence[Sentence]) -> dict[str, list[Sentence]]:
    """The sentences of train, development and core test, without SA; see `SIZES`."""
    read = [sentence for sentence in sentences if not sentence.is_sa]
    held_out = {
        name: [sentence for sentence in read if sentence.usage == "test" and sentence.speaker in speakers]
        for name, speakers in SPEAKERS.items()
    }
    return {"train": [sentence for sentence in read if sentence.usage == "train"], **held_out}


def lack(name: str, part: Sequence[Sentence]) -> str:
    """How a part differs from what LDC93S1 holds, in words; empty where it does not."""
    counts = Counter(sentence.speaker for sentence in part)
    speakers, sentences = SIZES[name]
    if (len(counts), len(part)) == (speakers, sentences):
        return ""
    odd = [f"{speaker} has {count} of 8" for speaker, count in sorted(counts.items()) if count != 8]
    odd += [f"{speaker} is missing" for speaker in sorted(SPEAKERS.get(name, frozenset()) - set(counts))]
    details = f" ({first_three(odd)})" if odd else ""
    return f"{name} has {len(counts)} speakers with {len(part)} sentences, not {speakers} with {sentences}{details}"


def prepare(parts: Mapping[str, Sequence[Sentence]], root: Path) -> dict[str, NDArray[np.float32]]:
    """The frames of all sentences by the name of their recording, from one cache whatever the protocol."""
    return cached_frames([sentence.recording for part in parts.values() for sentence in part], root, RATE)
