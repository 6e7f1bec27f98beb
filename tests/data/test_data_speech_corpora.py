"""TIMIT, its sample and any folder: who is in which split, and what is refused."""

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import SENTENCES, pack, sound, tone, write_speech, write_timit, write_timit_sample

from momentum_exp.config import DataConfig
from momentum_exp.data import load_dataset, timit
from momentum_exp.data.frames import Frames
from momentum_exp.data.speech import split_by_name
from momentum_exp.data.speech_cache import NAME
from momentum_exp.errors import UserError

FEW = [("train", "fabc0"), ("train", "msax0"), ("test", "faks0"), ("test", "mdab0"), ("test", "mzzz0")]
SWITCHES = ("drop_sa_speakers", "exchange_splits", "padding_frame", "exchange_frames")


@pytest.fixture(autouse=True)
def _user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TIMIT of two training speakers, one of the development set and one of the core test."""
    monkeypatch.setattr(timit, "SPEAKERS", {"development": frozenset({"faks0"}), "core test": frozenset({"mdab0"})})
    sizes = {"train": (2, 16), "development": (1, 8), "core test": (1, 8)}
    monkeypatch.setattr(timit, "SIZES", sizes)


def load(name: str, root: Path, **switches: Any) -> Frames:
    dataset = load_dataset(DataConfig(name=name, root=str(root), **switches), Path("unused"), 0)
    assert isinstance(dataset, Frames)
    return dataset


def same(first: Any, second: Any) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_speaker_lists() -> None:
    development, core = timit.SPEAKERS["development"], timit.SPEAKERS["core test"]
    assert (len(development), len(core)) == (50, 24)
    assert not development & core
    assert sum(name.startswith("m") for name in core) == 16, "two men and one woman of each of eight regions"
    assert not any("sa" in name for name in development | core), "the release's filter drops training speakers alone"


def test_the_whole_corpus(speech_root: Path) -> None:
    root = speech_root / "timit"
    released = load("timit", root, **dict.fromkeys(SWITCHES, True))
    clean = load("timit", root)
    assert [len(split) for split in (released.train, released.val, released.test)] == [3640, 192, 400]
    assert [len(split) for split in (clean.train, clean.val, clean.test)] == [3696, 400, 192]
    assert same(clean.val, released.test)
    assert same(clean.test, released.val)
    assert len(list(root.glob(f"{NAME}/*"))) == 1, "one cache for all protocols"
    assert len(released.training(32, 0, 0)) == 114


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("form", ["NIST", "WAV"])
@pytest.mark.parametrize("upper", [True, False])
def test_names_in_either_case_sphere_or_riff_give_the_same(tmp_path: Path, upper: bool, form: str) -> None:
    root = write_timit(tmp_path / "other", FEW, upper=upper, form=form)
    usual, other = load("timit", write_timit(tmp_path / "usual", FEW)), load("timit", root)
    for name in ("train", "val", "test"):
        assert same(getattr(usual, name), getattr(other, name))


@pytest.mark.usefixtures("small")
def test_each_switch_does_its_own(tmp_path: Path) -> None:
    root = write_timit(tmp_path, FEW)
    clean = load("timit", root)
    dropped = load("timit", root, drop_sa_speakers=True)
    assert (len(clean.train), len(dropped.train)) == (16, 8)
    assert same(dropped.train, clean.train[:8])
    exchanged = load("timit", root, exchange_splits=True)
    assert same(exchanged.val, clean.test)
    assert same(exchanged.test, clean.val)
    assert not same(clean.val, clean.test)
    assert (clean.padding, clean.exchanged) == (None, False)
    assert load("timit", root, padding_frame=True).padding == -50
    assert load("timit", root, exchange_frames=True).exchanged
    assert [len(s) for s in (clean.train, load("timit", root, limit=3).train)] == [16, 3]
    assert clean.num_features == clean.train[0].shape[1] == 129


@pytest.mark.usefixtures("small")
def test_a_corpus_that_is_not_whole_is_refused_with_what_lacks(tmp_path: Path) -> None:
    root = write_timit(tmp_path, FEW)
    (root / "TIMIT/TRAIN/DR1/FABC0/SX3.WAV").unlink()
    shutil.rmtree(root / "TIMIT/TEST/DR4/MDAB0")
    with pytest.raises(
        UserError,
        match=r"is not TIMIT as LDC93S1 holds it: train has 2 speakers with 15 sentences, not 2 with 16 "
        r"\(fabc0 has 7 of 8\); core test has 0 speakers with 0 sentences, not 1 with 8 \(mdab0 is missing\)\. "
        r"Expected .*data\.root=FOLDER",
    ):
        load("timit", root)
    assert not (root / NAME).exists()


@pytest.mark.parametrize("name", ["timit", "timit_sample", "speech"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "letter.txt").write_text("Dear all,")
    message = {
        "timit": "is not TIMIT as LDC93S1 holds it: train has 0 speakers",
        "timit_sample": "is not the TIMIT sample: it has 0 speakers with 0 sentences",
        "speech": "has 0 recordings: expected 3 or more",
    }[name]
    with pytest.raises(UserError, match=rf"^{tmp_path} {message}.*data\.root=FOLDER"):
        load(name, tmp_path)
    with pytest.raises(UserError, match=rf"^nowhere/{name} does not exist: .*data\.root=FOLDER"):
        load_dataset(DataConfig(name=name), Path("nowhere"), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_the_sample_is_split_by_speaker_as_a_folder_or_an_archive(tmp_path: Path) -> None:
    folder = write_timit_sample(tmp_path / "timit_sample")
    archive = pack(folder, tmp_path / "packed" / "timit_sample.tar.gz")
    dataset = load("timit_sample", folder)
    packed = load("timit_sample", archive)
    by_default = load_dataset(DataConfig(name="timit_sample"), archive.parent, 0)
    for name, size in (("train", 96), ("val", 16), ("test", 16)):
        assert len(getattr(dataset, name)) == size
        assert same(getattr(dataset, name), getattr(packed, name))
        assert same(getattr(dataset, name), getattr(by_default, name))
    assert [path.name for path in archive.parent.iterdir()] == [archive.name], "an archive's cache lies with the user"
    (folder / "dr8-fabc0" / "sx1.wav").write_bytes(sound(tone(999)))
    changed = load("timit_sample", folder)
    assert same(changed.train, dataset.train)
    assert same(changed.val, dataset.val)
    assert not same(changed.test, dataset.test)


def test_a_damaged_archive_and_a_sample_that_is_not_whole(tmp_path: Path) -> None:
    folder = write_timit_sample(tmp_path / "sample")
    archive = pack(folder, tmp_path / "sample.tar.gz")
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"sample\.tar\.gz is damaged or no \.tar\.gz"):
        load("timit_sample", archive)
    archive.write_bytes(b"not packed at all")
    with pytest.raises(UserError, match=r"sample\.tar\.gz is damaged or no \.tar\.gz"):
        load("timit_sample", archive)
    shutil.rmtree(folder / "dr3-mabc0")
    with pytest.raises(UserError, match="it has 15 speakers with 120 sentences, SA apart, not 16 with 128"):
        load("timit_sample", folder)
    assert not (tmp_path / "xdg").exists()


def test_any_folder_is_split_by_speaker(tmp_path: Path) -> None:
    dataset = load("speech", write_speech(tmp_path))
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [6, 2, 2]
    lengths = {len(frames_LD) for split in (dataset.train, dataset.val, dataset.test) for frames_LD in split}
    assert lengths == {7, 10}, "50 and 100 ms, whatever the rate"


def test_the_split_depends_on_names_alone() -> None:
    speakers = [f"{speaker}/{part}/{n}.wav" for speaker in "abcdefghijklmnopqrstu" for part in "xy" for n in range(3)]
    train, val, test = split_by_name(speakers)
    assert sorted(train + val + test) == sorted(speakers)
    heads = [{name[0] for name in part} for part in (train, val, test)]
    assert [len(head) for head in heads] == [17, 2, 2]
    assert not any(first & second for first, second in pairwise([*heads, heads[0]]))
    assert [set(part) for part in split_by_name(speakers[::-1])] == [set(train), set(val), set(test)]

    for flat in ([f"{n}.wav" for n in range(30)], [f"{'ab'[n % 2]}/{n}.wav" for n in range(30)]):
        train, val, test = split_by_name(flat)
        assert [len(part) for part in (train, val, test)] == [24, 3, 3]
        assert sorted(train + val + test) == sorted(flat)
    assert [len(part) for part in split_by_name(["a.wav", "b.wav", "c.wav"])] == [1, 1, 1]


def test_two_recordings_are_too_few(tmp_path: Path) -> None:
    for name in SENTENCES[:2]:
        (tmp_path / f"{name}.wav").write_bytes(sound(tone(1)))
    with pytest.raises(UserError, match=r"has 2 recordings: expected 3 or more files \.wav or \.flac"):
        load("speech", tmp_path)
