"""The cache of frames: made once, whole or not at all, whoever asks and whatever stops it."""

import contextlib
import errno
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import pytest
from corpora import sound, tone
from filelock import FileLock
from numpy.typing import NDArray

from momentum_exp.data import speech_cache
from momentum_exp.data.recordings import Recording, find_recordings
from momentum_exp.data.speech_cache import NAME, cache_key, cached_frames
from momentum_exp.data.speech_features import log_spectra, read_speech
from momentum_exp.errors import UserError

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, in the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "momentum_exp"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.wav").write_bytes(sound(tone(number, 800 + 100 * number)))
    return folder


def recordings(root: Path) -> list[Recording]:
    return find_recordings(root, (".wav",))


@dataclass(frozen=True)
class Asking:
    """Another process that asks for the frames; it says `ready`, `frame` for each it computes, and their sum."""

    process: ForkProcess
    said: Connection

    @classmethod
    def of(cls, root: Path, slow: float = 0.0) -> "Asking":
        """Start it; it takes `slow` seconds more for each recording."""
        said, say = FORK.Pipe(duplex=False)
        process = FORK.Process(target=ask, args=(root, slow, say), daemon=True)
        process.start()
        say.close()
        return cls(process, said)

    def rest(self) -> list[Any]:
        """All that it still says."""
        heard = []
        with contextlib.suppress(EOFError):
            while True:
                heard.append(self.said.recv())
        self.process.join()
        return heard


def ask(root: Path, slow: float, say: Connection) -> None:
    def log_spectra_slowly(x_N: NDArray[np.float64]) -> NDArray[np.float32]:
        say.send("frame")
        time.sleep(slow)
        return log_spectra(x_N)

    speech_cache.log_spectra = log_spectra_slowly
    say.send("ready")
    say.send(total(cached_frames(recordings(root), root, 16000)))


def total(frames: dict[str, NDArray[np.float32]]) -> float:
    return sum(float(frames_LF.sum()) for frames_LF in frames.values())


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def computed_again(x: Any) -> NoReturn:
        raise AssertionError("computed again")

    monkeypatch.setattr(speech_cache, "log_spectra", computed_again)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_it_is_computed_once_and_mapped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached_frames(recordings(root), root, 16000)
    forbid(monkeypatch)
    second = cached_frames(recordings(root), root, 16000)
    assert list(first) == list(second) == [f"{number}.wav" for number in range(5)]
    for recording in recordings(root):
        expected = log_spectra(read_speech(recording, 16000))
        np.testing.assert_array_equal(first[recording.name], expected)
        np.testing.assert_array_equal(second[recording.name], expected)
        assert not second[recording.name].flags.owndata
        assert not second[recording.name].flags.writeable
    cache = f"speech-v1-{cache_key(recordings(root), 16000)}"
    assert files(root / NAME) == {cache, f"{cache}/frames.npy", f"{cache}/starts.npy"}


def test_the_frames_lie_one_after_the_other_in_one_file(root: Path) -> None:
    frames = cached_frames(recordings(root), root, 16000)
    (file,) = root.glob(f"{NAME}/*/frames.npy")
    stored = np.load(file, allow_pickle=False)
    np.testing.assert_array_equal(stored, np.concatenate(list(frames.values())))
    assert stored.dtype == np.float32


def test_a_changed_recording_is_a_new_cache_and_a_new_name_is_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cached_frames(recordings(root), root, 16000)
    content = (root / "2.wav").read_bytes()
    (root / "2.wav").write_bytes(content[:-2] + b"\0\1")  # of the same size
    after = cached_frames(recordings(root), root, 16000)
    assert len(list((root / NAME).iterdir())) == 2
    assert not np.array_equal(before["2.wav"], after["2.wav"])
    assert np.array_equal(before["3.wav"], after["3.wav"])
    forbid(monkeypatch)
    (root / "4.wav").rename(root / "5.wav")
    np.testing.assert_array_equal(cached_frames(recordings(root), root, 16000)["5.wav"], before["4.wav"])


def test_another_rate_or_version_is_another_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached_frames(recordings(root), root, None)
    with pytest.raises(UserError, match="expected 44100 Hz"):
        cached_frames(recordings(root), root, 44100)
    monkeypatch.setattr(speech_cache, "VERSION", 2)
    cached_frames(recordings(root), root, None)
    assert len(list((root / NAME).iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:20], lambda b: b"", lambda b: b"x" + b[1:]])
@pytest.mark.parametrize("name", ["frames.npy", "starts.npy"])
def test_a_damaged_cache_is_made_again(root: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    before = {key: value.copy() for key, value in cached_frames(recordings(root), root, 16000).items()}
    (file,) = root.glob(f"{NAME}/*/{name}")
    file.write_bytes(damage(file.read_bytes()))
    after = cached_frames(recordings(root), root, 16000)
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value)


def refuse(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Make folders read-only for os.access, which a superuser's are not."""
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in folders and real(path, mode))


def test_a_root_that_cannot_be_written_has_its_cache_with_the_user(
    root: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, root)
    before = files(root)
    cached_frames(recordings(root), root, 16000)
    assert files(root) == before
    assert len(list(user_cache.glob("*/frames.npy"))) == 1
    refuse(monkeypatch, root, user_cache)
    forbid(monkeypatch)
    cached_frames(recordings(root), root, 16000)


def test_where_nothing_can_be_written_it_says_what_to_set(
    root: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, root, user_cache.parent.parent)
    with pytest.raises(UserError, match=rf"cannot be written as {root}/{NAME} or {user_cache}; .*XDG_CACHE_HOME"):
        cached_frames(recordings(root), root, 16000)


@pytest.mark.parametrize("wrong", [b"", b"no sound " * 99, sound(tone(0), 8000), sound(tone(0))[:800]])
def test_a_recording_that_is_refused_leaves_nothing(root: Path, user_cache: Path, wrong: bytes) -> None:
    (root / "3.wav").write_bytes(wrong)
    before = files(root)
    with pytest.raises(UserError, match=rf"^{root}/3\.wav "):
        cached_frames(recordings(root), root, 16000)
    assert files(root) == before
    assert not user_cache.exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_full_disk_or_an_interruption_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(file: IO[bytes], frames: int) -> None:
        file.write(b"half of a header")
        raise error

    before = files(root)
    monkeypatch.setattr(speech_cache, "_write_header", fail)
    expected = UserError if isinstance(error, OSError) else KeyboardInterrupt
    message = "cannot write the cache .*No space left on device" if isinstance(error, OSError) else None
    with pytest.raises(expected, match=message):
        cached_frames(recordings(root), root, 16000)
    assert files(root) == before


def test_of_two_processes_one_computes_and_both_have_the_frames(root: Path) -> None:
    (root / NAME).mkdir()
    name = f"speech-v1-{cache_key(recordings(root), 16000)}"
    with FileLock(root / NAME / f".{name}.lock"):
        both = [Asking.of(root), Asking.of(root)]
        assert [asking.said.recv() for asking in both] == ["ready", "ready"]
        time.sleep(0.3)
        assert not any(asking.said.poll() for asking in both), "both wait"
    said = [asking.rest() for asking in both]
    expected = total(cached_frames(recordings(root), root, 16000))
    assert sorted(said, key=len) == [[expected], ["frame"] * 5 + [expected]]
    assert files(root / NAME) == {name, f"{name}/frames.npy", f"{name}/starts.npy"}


def test_a_kill_in_the_middle_leaves_no_cache_and_the_next_removes_what_was_begun(root: Path) -> None:
    asking = Asking.of(root, slow=60)
    assert [asking.said.recv(), asking.said.recv()] == ["ready", "frame"]
    asking.process.kill()
    assert asking.rest() == []
    begun = files(root / NAME)
    assert any(name.endswith("/frames.npy") for name in begun)
    assert all(name.startswith(".") for name in begun)
    frames = cached_frames(recordings(root), root, 16000)
    np.testing.assert_array_equal(frames["0.wav"], log_spectra(read_speech(recordings(root)[0], 16000)))
    (cache,) = (root / NAME).iterdir()
    assert files(cache) == {"frames.npy", "starts.npy"}
