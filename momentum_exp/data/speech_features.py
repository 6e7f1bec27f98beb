"""Speech as frames: log-magnitude spectra at 8 kHz, as the release's preparation computes them (paper 3.2)."""

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from momentum_exp.data.recordings import Recording
from momentum_exp.errors import UserError

RATE = 8000
WINDOW = 256  # samples, 32 ms
HOP = 128
BINS = WINDOW // 2 + 1
FLOOR = 1e-5
SILENCE_DB = 10 * math.log10(FLOOR)  # -50: what digital silence and padding come to

HIGHEST_RATE = 768_000
FORMATS = ("NIST", "WAV", "WAVEX", "FLAC")  # libsndfile's names of those whose truncation is noticed
HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)  # periodic

SHORTEST = WINDOW + HOP  # samples at RATE: two full windows, 48 ms


def log_spectra(x_N: NDArray[np.float64]) -> NDArray[np.float32]:
    """The frames (L, 129) in dB of a signal at 8 kHz in [-1, 1): 10 log10(1e-5 + |X|^2).

    X is the STFT with 256 samples, periodic Hann window, hop 128, of the signal padded with zeros to a multiple of
    the hop and by 256 on both ends: L = ceil(N / 128) + 3 (source: stwisdom/urnn, util.py and timit_prediction.py).
    """
    to_hop = -len(x_N) % HOP
    padded = np.pad(x_N, (WINDOW, to_hop + WINDOW))
    windows_LW = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * HANN
    power_LF = np.abs(np.fft.rfft(windows_LW, axis=1)) ** 2
    return (10 * np.log10(FLOOR + power_LF)).astype(np.float32)


def read_speech(recording: Recording, rate: int | None) -> NDArray[np.float64]:
    """The samples at 8 kHz of a NIST SPHERE, RIFF or FLAC file, in [-1, 1); channels are averaged.

    rate: the sampling rate that the file must have, in Hz; None: any from 8 to 768 kHz. Another rate than 8 kHz is
    resampled by scipy's polyphase filter with its Kaiser window of beta 5, the default of Matlab's `resample`,
    which the release's preparation calls.

    Raises UserError, with the file's name, for one that is empty, truncated, no audio, of another rate, shorter than
    two frames, or has samples that are not finite.
    """
    import soundfile  # this and scipy.signal take seconds: paid only where there is no cache
    from scipy.signal import resample_poly

    content = recording.read()
    if not content:
        raise UserError(f"{recording.where} is empty (0 bytes): expected a NIST SPHERE, RIFF or FLAC file")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.format not in FORMATS:
                raise UserError(f"{recording.where} is {file.format}: expected a NIST SPHERE, RIFF or FLAC file")
            found, x_NC = file.samplerate, file.read(dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = str(error).rpartition(">: ")[2]
        raise UserError(
            f"{recording.where} cannot be read as sound ({reason}): expected a whole NIST SPHERE, RIFF or FLAC file; "
            "unpack it first if it is compressed by shorten"
        ) from error
    if missing := missing_bytes(content):
        raise UserError(f"{recording.where} is truncated: {missing} bytes fewer than its header says")
    if rate is not None and found != rate:
        raise UserError(f"{recording.where} has a sampling rate of {found} Hz: expected {rate} Hz")
    if not RATE <= found <= HIGHEST_RATE:
        raise UserError(f"{recording.where} has a sampling rate of {found} Hz: expected {RATE} to {HIGHEST_RATE} Hz")
    x_N: NDArray[np.float64] = x_NC.mean(axis=1)
    if not np.isfinite(x_N).all():
        raise UserError(f"{recording.where} has samples that are not finite numbers")
    if found != RATE:
        common = math.gcd(found, RATE)
        x_N = resample_poly(x_N, RATE // common, found // common)
    if len(x_N) < SHORTEST:
        raise UserError(
            f"{recording.where} has {1000 * len(x_N) / RATE:.1f} ms of sound: expected two frames or more, that is at "
            f"least {1000 * SHORTEST / RATE:.0f} ms"
        )
    return x_N


def missing_bytes(content: bytes) -> int:
    """How many bytes of samples a SPHERE or RIFF file lacks of what its header says; 0 where it does not say.

    libsndfile reads what is left of such a file and does not tell.
    """
    if content.startswith(b"NIST_1A"):
        fields = [line.split() for line in content[:1024].decode("latin-1").splitlines()]
        values: dict[str, Any] = {line[0]: line[2] for line in fields if len(line) == 3}
        try:
            samples = math.prod(int(values[key]) for key in ("sample_count", "sample_n_bytes", "channel_count"))
            return max(0, int(fields[1][0]) + samples - len(content))
        except (KeyError, ValueError, IndexError):
            return 0
    if content.startswith(b"RIFF"):
        at = 12
        while at + 8 <= len(content):
            size = int.from_bytes(content[at + 4 : at + 8], "little")
            if content[at : at + 4] == b"data":
                return 0 if size == 0xFFFFFFFF else max(0, at + 8 + size - len(content))
            at += 8 + size + size % 2
    return 0
