"""scripts/prepare_timit.py as a user calls it."""

import runpy
import sys
from pathlib import Path

import pytest
from corpora import write_timit

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prepare_timit.py"


def call(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(root)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_it_prints_what_is_there_beside_what_should_be_and_prepares_the_cache(
    speech_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, speech_root / "timit")
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines()]
    assert ["folder", "train", "462", "462", "4620", "4620"] in rows
    assert ["folder", "test", "75", "168", "750", "1680"] in rows
    assert ["train", "462", "462", "3696", "3696"] in rows
    assert ["development", "50", "50", "400", "400"] in rows
    assert ["core", "test", "24", "24", "192", "192"] in rows
    assert "released trains on 3640 sentences, clean on all 3696" in said
    (cache,) = (speech_root / "timit").glob(".momentum_exp_cache/*/frames.npy")
    assert cache.stat().st_size > 0


def test_what_lacks_is_named_and_nothing_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_timit(tmp_path, [("train", "fabc0"), ("test", "faks0")])
    with pytest.raises(SystemExit) as stop:
        call(monkeypatch, root)
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert ["train", "1", "462", "8", "3696"] in [line.split() for line in said.splitlines()]
    assert "core test has 0 speakers with 0 sentences, not 24 with 192" in said
    assert "Nothing was prepared" in said
    assert not list(root.glob(".*"))
