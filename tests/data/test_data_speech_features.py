"""Reading sound files and the frames made of them, against explicit sums and tones."""

import cmath
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from corpora import sound, tone
from numpy.typing import NDArray

from momentum_exp.data.recordings import Recording, find_recordings
from momentum_exp.data.speech_features import BINS, SILENCE_DB, log_spectra, missing_bytes, read_speech
from momentum_exp.errors import UserError


def recording(content: bytes, name: str = "dr1/x.wav") -> Recording:
    return Recording(name, f"/corpus/{name}", lambda: content)


def by_definition(x: NDArray[np.float64], frame: int, k: int) -> float:
    """10 log10(1e-5 + |X|^2) of one frame and bin, a sample at a time; outside the signal there is zero."""
    total = 0j
    for n in range(256):
        at = frame * 128 + n - 256
        value = x[at] if 0 <= at < len(x) else 0.0
        total += value * (0.5 - 0.5 * math.cos(2 * math.pi * n / 256)) * cmath.exp(-2j * math.pi * k * n / 256)
    return 10 * math.log10(1e-5 + abs(total) ** 2)


@pytest.mark.parametrize("samples", [384, 385, 511, 512, 900])
def test_frames_are_the_explicit_dft_of_the_padded_signal(samples: int) -> None:
    x = np.random.default_rng(samples).uniform(-1, 1, samples)
    frames_LF = log_spectra(x)
    assert frames_LF.shape == (math.ceil(samples / 128) + 3, BINS)
    assert frames_LF.dtype == np.float32
    for frame in range(len(frames_LF)):
        for k in (0, 1, 17, 64, 127, 128):
            assert frames_LF[frame, k] == pytest.approx(by_definition(x, frame, k), abs=1e-4)


def test_a_tone_on_a_bin_and_silence() -> None:
    """A cos of amplitude a on bin k gives |X| = a sum(window) / 2 = 64 a; the first frame sees padding alone."""
    frames_LF = log_spectra(0.5 * np.cos(2 * np.pi * 20 / 256 * np.arange(4096)))
    assert frames_LF[10, 20] == pytest.approx(20 * math.log10(32), abs=1e-4)
    assert frames_LF[10, 60] == pytest.approx(SILENCE_DB, abs=1e-3)
    np.testing.assert_allclose(frames_LF[0], SILENCE_DB)
    np.testing.assert_allclose(log_spectra(np.zeros(500)), SILENCE_DB)


@pytest.mark.parametrize("form", ["NIST", "WAV", "FLAC"])
def test_every_format_gives_the_16_bit_samples_over_32768(form: str) -> None:
    numbers = np.random.default_rng(0).integers(-(2**15), 2**15, 1000)
    content = sound(numbers.astype(np.int16), 8000, form)
    np.testing.assert_array_equal(read_speech(recording(content), None), numbers / 32768)


@pytest.mark.parametrize(("order", "code"), [("01", "<i2"), ("10", ">i2")])
def test_a_sphere_file_as_distributed(order: str, code: str) -> None:
    """1024 bytes of header with fields of the corpus, then samples, low or high byte first."""
    numbers = np.arange(-500, 500, dtype=np.int16)
    header = (
        "NIST_1A\n   1024\ndatabase_id -s5 TIMIT\nutterance_id -s8 abc0_sx1\nchannel_count -i 1\n"
        f"sample_count -i {len(numbers)}\nsample_rate -i 16000\nsample_n_bytes -i 2\nsample_byte_format -s2 {order}\n"
        "sample_sig_bits -i 16\nend_head\n"
    )
    content = header.encode().ljust(1024) + numbers.astype(code).tobytes()
    expected = read_speech(recording(sound(numbers)), 16000)
    np.testing.assert_array_equal(read_speech(recording(content), 16000), expected)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
def test_any_rate_comes_to_8_khz(rate: int) -> None:
    seconds, amplitude, hertz = 0.5, 0.5, 440
    x = amplitude * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    resampled = read_speech(recording(sound(x, rate)), None)
    assert len(resampled) == math.ceil(len(x) * 8000 / rate)
    expected = amplitude * np.sin(2 * np.pi * hertz * np.arange(len(resampled)) / 8000)
    np.testing.assert_allclose(resampled[200:-200], expected[200:-200], atol=2e-3)


def test_what_8_khz_cannot_hold_is_filtered_out() -> None:
    x = 0.5 * np.sin(2 * np.pi * 6000 * np.arange(8000) / 16000)
    assert np.abs(read_speech(recording(sound(x)), 16000)[200:-200]).max() < 2e-3


def test_channels_are_averaged() -> None:
    left, right = tone(1), tone(2)
    both = read_speech(recording(sound(np.stack([left, right], 1), subtype="DOUBLE")), None)
    mean = read_speech(recording(sound((left + right) / 2, subtype="DOUBLE")), None)
    np.testing.assert_allclose(both, mean, atol=1e-12)


def test_a_stream_of_unknown_length_is_whole() -> None:
    content = bytearray(sound(tone(1)))
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    assert missing_bytes(bytes(content)) == 0


GOOD = sound(tone(1))
WRONG = {
    "empty": (b"", 16000, r"is empty \(0 bytes\): expected a NIST SPHERE, RIFF or FLAC file"),
    "text": (b"She had your dark suit. " * 90, 16000, "cannot be read as sound .*: expected a whole NIST SPHERE"),
    "half a header": (GOOD[:30], 16000, "cannot be read as sound"),
    "truncated RIFF": (GOOD[:900], 16000, f"is truncated: {len(GOOD) - 900} bytes fewer than its header says"),
    "truncated SPHERE": (sound(tone(1), form="NIST")[:-7], 16000, "is truncated: 7 bytes fewer"),
    "truncated FLAC": (sound(tone(1, 8000), form="FLAC")[:2000], 16000, "cannot be read as sound|is truncated"),
    "AIFF": (sound(tone(1), form="AIFF"), 16000, "is AIFF: expected a NIST SPHERE, RIFF or FLAC file"),
    "no rate of the corpus": (sound(tone(1), 8000), 16000, "a sampling rate of 8000 Hz: expected 16000 Hz"),
    "a rate too low": (sound(tone(1), 4000), None, "a sampling rate of 4000 Hz: expected 8000 to 768000 Hz"),
    "shorter than two frames": (sound(tone(1, 766)), 16000, r"47\.9 ms of sound: .*two frames or more, .* 48 ms"),
    "no samples": (sound(tone(1, 0)), None, r"0\.0 ms of sound: expected two frames or more"),
    "not a number": (sound(np.full(900, np.nan), subtype="FLOAT"), None, "samples that are not finite numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_by_name(case: str) -> None:
    content, rate, message = WRONG[case]
    with pytest.raises(UserError, match=rf"^/corpus/dr1/x\.wav .*(?:{message})"):
        read_speech(recording(content), rate)


@pytest.mark.parametrize("form", ["NIST", "WAV", "FLAC"])
def test_no_cut_of_a_file_goes_unnoticed(form: str) -> None:
    content = sound(tone(3, 1200), form=form)
    assert len(read_speech(recording(content), 16000)) == 600
    for length in range(0, len(content) - 1, 61):
        with pytest.raises(UserError):
            read_speech(recording(content[:length]), 16000)


def test_recordings_are_found_by_name_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b/2.WAV", "a/1.wav", "a/notes.txt", ".hidden/3.wav", "a/._1.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = find_recordings(tmp_path, (".wav",))
    assert [(r.name, r.read()) for r in found] == [("a/1.wav", b"a/1.wav"), ("b/2.WAV", b"b/2.WAV")]
    assert found[0].where == str(tmp_path / "a/1.wav")
    (tmp_path / "a/1.wav").unlink()
    with pytest.raises(UserError, match=r"cannot read .*a/1\.wav: No such file"):
        found[0].read()


def test_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: expected the folder .*data\.root=FOLDER"):
        find_recordings(tmp_path / "nowhere", (".wav",))
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"is no folder and no \.tar\.gz"):
        find_recordings(tmp_path / "file", (".wav",))
