"""A mistake in a tuning command is one message, said before anything runs if it can be; a failed trial ends nothing."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from tuning_command import SPACE, Tuning

from momentum_exp.errors import UserError
from momentum_exp.tune import study as study_module
from momentum_exp.tune.options import read_command
from momentum_exp.tune.study import TuningStudy
from momentum_exp.tune.tuning import tune


def test_a_trial_that_fails_is_recorded_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from momentum_exp.tune import trial as trial_module

    def broken(*arguments: Any, **options: Any) -> Any:
        if "cell.s=0.3" in arguments[1]:
            raise ZeroDivisionError("a bug")
        return run(*arguments, **options)

    run = trial_module.run
    monkeypatch.setattr(trial_module, "run", broken)
    tuning = Tuning(tmp_path, "cell.s=choice(0.3,0.6,1e38)", "trials=6", "pruner=none")
    assert tuning.do()
    states = {t.params["cell.s"]: (t.state, t.user_attrs.get("state")) for t in tuning.trials()}
    assert states == {
        "0.3": (TrialState.FAIL, "failed"),
        "0.6": (TrialState.COMPLETE, None),
        "1e+38": (TrialState.FAIL, "diverged"),
    }
    out, errors = capsys.readouterr()
    assert "ZeroDivisionError: a bug" in errors
    assert "diverged at step" in out
    assert Tuning(tmp_path, "cell.s=choice(1e38)", "trials=1").do() is False


def test_nothing_is_tuned_on_the_test_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing is tuned on the test set. Write for example data.validation=2"):
        Tuning(tmp_path / "none", *SPACE, "data.validation=0").do()
    assert list(tmp_path.iterdir()) == []


def test_the_releases_validation_on_the_core_test_set_is_refused(tmp_path: Path) -> None:
    """Before the data set is looked for."""
    timit = ("data=timit", f"data.root={tmp_path / 'nowhere'}", f"paths.runs={tmp_path / 'none'}", *SPACE)
    with pytest.raises(UserError, match=r"core test set.* Write data.exchange_splits=false"):
        tune(read_command(list(timit)))
    for switch in ("data.exchange_splits=false", "data.protocol=clean"):
        with pytest.raises(UserError, match="nowhere"):
            tune(read_command([*timit, switch]))
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_that_a_trial_finds_ends_the_command_and_leaves_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from momentum_exp.tune import trial as trial_module

    def mistaken(*arguments: Any, **options: Any) -> Any:
        raise UserError("the data are gone")

    tuning = Tuning(tmp_path, *SPACE, "trials=1")
    with monkeypatch.context() as patched:
        patched.setattr(trial_module, "run", mistaken)
        for _ in range(study_module.MOST_DEATHS + 2):
            with pytest.raises(UserError, match="the data are gone"):
                tuning.do()
    assert [trial.state for trial in tuning.trials()] == [TrialState.RUNNING]
    assert tuning.do()
    assert [trial.state for trial in tuning.trials()] == [TrialState.COMPLETE]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["cell.mu=interval(0,1.5)"], r"cell.mu=1.5 is not allowed"),
        (["cell=lstm", "cell.mu=interval(0,0.9)"], r"cell.mu=0.0 has no effect"),
        (["cell.mu=interval(0,0.9)", "force=true"], r"force=true"),
        (["data=digits,copying"], r"different metrics"),
    ],
)
def test_a_mistake_anywhere_in_the_space_is_said_before_anything_runs(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        tune(read_command([*overrides, f"paths.runs={tmp_path / 'none'}"]))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_study_is_said(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database, whatever its name says" * 100)
    with pytest.raises(UserError, match=r"study.db is damaged"):
        TuningStudy(tmp_path, read_command(["cell.s=0.3,0.6"]).options, higher=True)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """The command line inside this process."""
    from momentum_exp.tune.__main__ import main

    def call(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["tune", *arguments])
        monkeypatch.setattr("warnings.showwarning", lambda *_, **__: None)
        handler = signal.getsignal(signal.SIGTERM)
        try:
            main()
        finally:
            signal.signal(signal.SIGTERM, handler)

    monkeypatch.chdir(tmp_path)
    return call


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["cell.nu=interval(0,1)"], "there is no key 'cell.nu'. Did you mean cell.mu?"),
        (["cell.mu=log(1,2)"], "Unknown function 'log'"),
        (["cell=lstm,lstn"], "cell=lstn: there is no such cell"),
        (["cell.mu=0.5"], "nothing is tuned"),
    ],
)
def test_the_command_says_a_mistake_in_one_line(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str], arguments: list[str], fragment: str
) -> None:
    with pytest.raises(SystemExit) as end:
        command(*arguments)
    out, errors = capsys.readouterr()
    assert (end.value.code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("momentum_exp: error: ")
    assert fragment in errors


@pytest.mark.parametrize(
    ("file", "arguments"),
    [("tune/mine.yaml", ["tune=mine"]), ("cell/mine.yaml", ["cell=mine", "cell.mu=interval(0,0.9)"])],
)
def test_a_file_that_is_no_yaml_is_said_in_one_line(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str, arguments: list[str]
) -> None:
    path = tmp_path / "myconf" / file
    path.parent.mkdir(parents=True)
    path.write_text("trials: [3\n")
    with pytest.raises(SystemExit) as end:
        command(*arguments, "--config-dir", str(tmp_path / "myconf"))
    out, errors = capsys.readouterr()
    assert (end.value.code, out, errors.count("\n")) == (2, "", 1)
    assert "mine.yaml" in errors
