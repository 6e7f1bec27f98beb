"""Small synthetic stand-ins for corpora of speech: tones and noise in NIST SPHERE, RIFF and FLAC files."""

import io
import itertools
import tarfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from momentum_exp.data.timit import SPEAKERS

RATE = 16_000
SHORT = 800  # samples, 50 ms: seven frames
SENTENCES = ("sa1", "sa2", "si1", "si2", "si3", "sx1", "sx2", "sx3", "sx4", "sx5")


def tone(number: int, samples: int = SHORT, rate: int = RATE) -> NDArray[np.float64]:
    """A tone with a little noise, another one for each number."""
    noise = np.random.default_rng(number).standard_normal(samples)
    return 0.3 * np.sin(2 * np.pi * (200 + number % 3000) * np.arange(samples) / rate) + 0.01 * noise


def sound(x: NDArray[np.float64], rate: int = RATE, form: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """A sound file's content; form: NIST (SPHERE), WAV (RIFF) or FLAC."""
    content = io.BytesIO()
    soundfile.write(content, x, rate, format=form, subtype=subtype)
    return content.getvalue()


def all_speakers() -> list[tuple[str, str]]:
    """(folder, name) of 462 made-up training speakers, seven with `sa`, and of the real held-out ones and one more."""
    names = (f"{sex}{''.join(rest)}0" for sex, *rest in itertools.product("fm", "bcdf", "ghjk", "lmnpqrstvwxyzaeo"))
    train = [*itertools.islice(names, 455), *(f"msa{letter}0" for letter in "bcdefgh")]
    held_out = sorted(SPEAKERS["development"] | SPEAKERS["core test"] | {"mzzz0"})
    return [("train", name) for name in train] + [("test", name) for name in held_out]


def write_timit(root: Path, speakers: list[tuple[str, str]], *, upper: bool = True, form: str = "NIST") -> Path:
    """LDC93S1's layout with these speakers; every sentence but a few dozen is the same as an earlier one."""
    sounds = [sound(tone(number, SHORT + 16 * number), form=form) for number in range(37)]
    for number, (usage, speaker) in enumerate(speakers):
        folder = f"timit/{usage}/dr{number % 8 + 1}/{speaker}"
        place = root / (folder.upper() if upper else folder)
        place.mkdir(parents=True)
        for sentence, name in enumerate(SENTENCES):
            file = f"{name}.wav"
            (place / (file.upper() if upper else file)).write_bytes(sounds[(10 * number + sentence) % len(sounds)])
        (place / "SX1.TXT").write_text("0 1 Not sound.\n")
    return root


def write_timit_sample(root: Path) -> Path:
    """The layout of NLTK's sample: `dr1-fvmh0/sa1.wav`."""
    for number, (region, sex) in enumerate(itertools.product(range(1, 9), "fm")):
        folder = root / f"dr{region}-{sex}abc0"
        folder.mkdir(parents=True)
        for sentence, name in enumerate(SENTENCES):
            (folder / f"{name}.wav").write_bytes(sound(tone(10 * number + sentence)))
    return root


def pack(folder: Path, archive: Path) -> Path:
    """`folder` as a .tar.gz."""
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:gz") as members:
        members.add(folder, folder.name)
    return archive


def write_speech(root: Path) -> Path:
    """Ten recordings of five speakers, at several rates."""
    for number, rate in enumerate((8000, 11025, 16000, 22050, 48000)):
        folder = root / f"speaker{number}"
        folder.mkdir(parents=True)
        (folder / "a.wav").write_bytes(sound(tone(number, rate // 20, rate), rate))
        (folder / "b.flac").write_bytes(sound(tone(number + 9, rate // 10, rate), rate, "FLAC"))
    return root
