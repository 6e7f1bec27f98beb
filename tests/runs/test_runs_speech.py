"""Speech as a run: what a protocol makes of the keys, the paper's settings, and going on after a stop."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from corpora import write_speech

from momentum_exp.errors import UserError
from momentum_exp.runs.run import RunFailed
from momentum_exp.training import loop
from momentum_exp.validation import validate

SWITCHES = ("exchange_frames", "padding_frame", "drop_sa_speakers", "exchange_splits")


@pytest.mark.parametrize(("protocol", "value"), [("released", True), ("clean", False), ("null", False)])
def test_a_protocol_sets_the_switches_that_are_null(runs: Any, protocol: str, value: bool) -> None:
    config = validate(runs.composed("data=timit", f"data.protocol={protocol}")).data
    assert [getattr(config, switch) for switch in SWITCHES] == [value] * 4
    config = validate(runs.composed("data=timit", f"data.protocol={protocol}", "data.exchange_frames=false")).data
    assert [getattr(config, switch) for switch in SWITCHES] == [False] + [value] * 3


def test_what_a_run_is_depends_on_the_switches_not_on_how_they_were_set(runs: Any) -> None:
    explicit = [f"data.{switch}=true" for switch in SWITCHES]
    released = runs.folder("data=timit")
    assert runs.folder("data=timit", "data.protocol=clean", *explicit) == released
    assert runs.folder("data=timit", "data.protocol=clean") != released
    assert runs.folder("data=timit", "data.padding_frame=false") != released


@pytest.mark.parametrize("data", ["timit_sample", "speech", "digits"])
def test_a_switch_that_a_data_set_does_not_read_is_an_error(runs: Any, data: str) -> None:
    given = "data.exchange_splits"
    with pytest.raises(UserError, match=rf"{given}=True has no effect: data set {data} does not read it"):
        validate(runs.composed(f"data={data}", f"{given}=true"), {given})


@pytest.mark.parametrize("data", ["timit", "timit_sample", "speech"])
def test_a_pair_has_the_papers_settings(runs: Any, data: str) -> None:
    def settings(cell: str) -> list[Any]:
        config = validate(runs.composed(f"cell={cell}", f"data={data}", "trainer.batch_size=32"))
        cell_, optimizer = config.cell, config.optimizer
        return [cell_.mu, cell_.s, cell_.beta, cell_.restart, cell_.forget_bias, optimizer.name, optimizer.lr]

    assert settings("lstm") == [None, None, None, None, -4, "adam", 1e-4]
    assert settings("momentumlstm") == [0.3, 0.1, None, None, -4, "adam", 1e-4]
    assert settings("adamlstm") == [0.3, 0.1, 0.999, None, -4, "adam", 1e-4]
    assert settings("rmsproplstm") == [None, 0.1, 0.999, None, -4, "adam", 1e-4]
    assert settings("srlstm") == [None, 0.1, None, 2, -4, "adam", 1e-4]
    assert settings("srlstm_released") == [None, 0.1, None, 2, -4, "adam", 1e-4]
    assert settings("momentumdtriv") == [0.3, 0.1, None, None, None, "adam", 1e-3]
    config = validate(runs.composed("cell=dtriv", f"data={data}"))
    assert (config.cell.rebase, config.cell.skew_init) == (0, "henaff")
    assert (config.optimizer.orthogonal, config.optimizer.lr_orthogonal) == ("rmsprop", 2e-4)
    assert config.trainer.clip_norm == 1
    assert validate(runs.composed("cell=lstm", f"data={data}")).trainer.clip_norm is None


def test_a_folder_of_other_recordings_is_another_run(runs: Any, tmp_path: Path) -> None:
    """Other names alone are other splits. Where the folder is makes no difference."""
    root = write_speech(tmp_path / "speech")
    case = ("data=speech", f"data.root={root}", "trainer.max_steps=1", "diagnostics=none")
    runs.run(*case)
    moved = root.rename(tmp_path / "moved")
    there = (*case, f"data.root={moved}")
    assert runs.status(runs.folder(*there))["state"] == "finished"
    (moved / "speaker0" / "a.wav").rename(moved / "speaker0" / "c.wav")
    renamed = runs.folder(*there)
    shutil.copy(moved / "speaker1" / "a.wav", moved / "speaker0" / "c.wav")
    changed = runs.folder(*there)
    assert len({runs.folder(*case), renamed, changed}) == 3
    assert not renamed.exists()


def test_recordings_other_than_those_of_a_given_checksum_are_refused(runs: Any, tmp_path: Path) -> None:
    root = write_speech(tmp_path / "speech")
    case = ("data=speech", f"data.root={root}", "trainer.max_steps=1", "diagnostics=none")
    found = validate(runs.composed(*case)).data.checksum
    with pytest.raises(UserError, match=rf"data.checksum=sha0123: the recordings of {root} have data.checksum={found}"):
        runs.run(*case, "data.checksum=sha0123")
    runs.run(*case, f"data.checksum={found}")
    assert runs.status(runs.folder(*case))["state"] == "finished"


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    runs: Any, tmp_path: Path, speech_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of several lengths, measured through time at each step."""
    case = ("data=speech", f"paths.data={speech_root}", "cell=momentumlstm", "trainer.epochs=3", "trainer.batch_size=2")
    case = (*case, "diagnostics.every=1", "diagnostics.figures=false", "trainer.checkpoint_seconds=0")
    other = type(runs)(tmp_path / "undisturbed")
    other.run(*case)
    saved, count = loop.save_checkpoint, 0

    def stop_after_four(folder: Path, content: dict[str, Any]) -> None:
        nonlocal count
        saved(folder, content)
        count += 1
        if count == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", stop_after_four)
    with pytest.raises(RunFailed, match="interrupted"):
        runs.run(*case)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    runs.run(*case)
    assert runs.outcome(runs.folder(*case)) == other.outcome(other.folder(*case))
    epochs = [record for record in runs.records(runs.folder(*case)) if record["kind"] == "epoch"]
    assert [epoch["step"] for epoch in epochs] == [3, 6, 9]
    assert {"train_loss", "val_loss", "test_loss"} <= epochs[-1].keys()
