"""A study is what its command says, however often and by however many processes it is done."""

import contextlib
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from hydra import compose, initialize_config_dir
from optuna.trial import FrozenTrial, TrialState

from momentum_exp.command_line import conf_dir, register_resolvers
from momentum_exp.config import register
from momentum_exp.errors import UserError
from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.identity import identity
from momentum_exp.tune import study as study_module
from momentum_exp.tune.options import read_command
from momentum_exp.tune.study import Study
from momentum_exp.tune.tuning import check, study_folder, tune
from momentum_exp.validation import validate

TINY = ("trainer=cpu", "trainer.threads=1", "cell.hidden_size=4", "trainer.batch_size=8", "data.limit=24")
SHORT = ("trainer.epochs=2", "diagnostics=none", "diagnostics.figures=false", "sampler_seed=1")
SPACE = ("cell.mu=interval(0,0.9)", "optimizer.lr=tag(log,interval(1e-3,0.5))")


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """torch's process-wide switches are given back afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


class Tuning:
    """One tuning command, in this process or in its own, and the trials of its study."""

    def __init__(self, root: Path, *overrides: str) -> None:
        self.root, self.overrides = root, [*TINY, *SHORT, *overrides, f"paths.runs={root}"]

    def do(self, *more: str) -> bool:
        return tune(read_command([*self.overrides, *more]))

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "momentum_exp.tune", *self.overrides],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def trials(self) -> list[FrozenTrial]:
        (file,) = (self.root / "tune").glob("*/study.db")
        return optuna.load_study(study_name=file.parent.name, storage=f"sqlite:///{file}").get_trials()

    def wait_for_run(self, number: int, process: subprocess.Popen[str]) -> None:
        """Until the process is in the steps of the study's run of that number, counted from 1."""
        for _ in range(6000):
            statuses = [RunFolder(path).status() for path in self.root.glob("digits-*")]
            if len(statuses) == number and all("step" in status for status in statuses):
                return
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        raise AssertionError("waited two minutes in vain")


def tried(trials: list[FrozenTrial]) -> list[Any]:
    """What two equal studies share."""
    return [(t.number, t.state, t.params, t.value, t.intermediate_values, t.user_attrs.get("state")) for t in trials]


def test_trials_are_the_same_wherever_a_study_was_left(tmp_path: Path) -> None:
    """Past the random start of TPE, by Optuna's own numbers alone: nothing is trained."""
    options = read_command(["cell.mu=interval(0,0.9)", "cell.s=0.3,0.6,1.0", "trials=16"])
    moments = random.Random(0)

    def go_on(folder: Path, stop: Callable[[], bool]) -> bool:
        study = Study(folder, options.options, higher=True)
        while not stop():
            with study.next_trial() as trial:
                if trial is None:
                    return False
                for one in options.space.values():
                    one.suggest(trial)
                    if stop():
                        return True
                study.optuna.tell(trial, trial.params["cell.mu"] * (1.1 - trial.params["cell.mu"]))
        return True

    go_on(tmp_path / "whole", lambda: False)
    while go_on(tmp_path / "left", lambda: moments.random() < 0.1):
        pass
    whole, left = (Study(tmp_path / name, options.options, higher=True).trials() for name in ("whole", "left"))
    assert [(t.params, t.value) for t in left] == [(t.params, t.value) for t in whole]
    assert len({t.params["cell.mu"] for t in whole}) == 16


def test_a_study_goes_on_where_it_stopped_and_says_how_to_run_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = Tuning(tmp_path / "whole", *SPACE), Tuning(tmp_path / "parts", *SPACE)
    assert whole.do("trials=4")
    for budget in (2, 4, 4):
        assert parts.do(f"trials={budget}")
        assert len(parts.trials()) == budget
    assert tried(parts.trials()) == tried(whole.trials())
    for trial in whole.trials():
        assert trial.state == TrialState.COMPLETE
        assert trial.value == max(trial.intermediate_values.values())
        assert list(trial.intermediate_values) == [1, 2]

    capsys.readouterr()
    whole.do("trials=4")
    *_, first, values, run, command = capsys.readouterr().out.splitlines()
    best = max(whole.trials(), key=lambda t: t.value)
    assert first == f"best of 4 trials: trial {best.number}, validation accuracy {100 * best.value:.2f}%"
    assert values.split() == [f"{key}={value}" for key, value in sorted(best.params.items())]
    assert run == f"  run {best.user_attrs['run']}"
    python, m, module, *overrides = shlex.split(command)
    assert (python, m, module) == ("python", "-m", "momentum_exp")
    with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        again = identity(validate(compose("config", overrides=overrides)))
    assert str(tmp_path / "whole" / again.folder) == best.user_attrs["run"]
    assert [path for path in (tmp_path / "whole" / "tune").glob("*/*") if path.name.startswith("trial-")] == []


def test_another_space_seed_or_sampler_is_another_study_and_nothing_else_is(tmp_path: Path) -> None:
    register()
    register_resolvers()
    mu, s = "cell.mu=interval(0,0.9)", "cell.s=choice(0.3,0.6)"

    def folder(*overrides: str) -> Path:
        command = read_command([*TINY, f"paths.runs={tmp_path}", *overrides])
        return study_folder(command, check(command, lenient=False))

    same = [(mu, s), (s, mu), (mu, s, "trials=7"), (mu, s, "trainer.log_every=3")]
    others: list[tuple[str, ...]] = [(mu,), ("cell.mu=interval(0,0.8)", s), (mu, "cell.s=choice(0.6,0.3)")]
    others += [(mu, s, other) for other in ("sampler_seed=3", "sampler=random", "pruner=none", "seed=1")]
    assert len({folder(*overrides) for overrides in same}) == 1
    assert len({folder(*overrides) for overrides in [same[0], *others]}) == 1 + len(others)


def test_a_pruned_trial_says_so_and_its_run_can_go_on(tmp_path: Path) -> None:
    longer = ("trainer.epochs=3", "data.limit=100", "cell.hidden_size=8")
    tuning = Tuning(tmp_path, *SPACE, *longer, "startup_trials=1", "trials=6")
    tuning.do()
    pruned = [trial for trial in tuning.trials() if trial.state == TrialState.PRUNED]
    assert pruned
    for trial in pruned:
        status = RunFolder(Path(trial.user_attrs["run"])).status()
        assert status["state"] == "interrupted"
        assert status["reason"] == trial.user_attrs["why"]
        assert status["reason"].startswith(f"pruned after epoch {trial.last_step} with validation accuracy ")
    rerun = [f"{key}={value}" for key, value in pruned[0].params.items()]
    Tuning(tmp_path, *map(single, rerun), *longer, "trials=1").do()
    status = RunFolder(Path(pruned[0].user_attrs["run"])).status()
    assert status["state"] == "finished"
    assert "reason" not in status


def single(override: str) -> str:
    """A choice among one value."""
    key, _, value = override.partition("=")
    return f"{key}=choice({value})"


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


def test_a_choice_of_cells_drops_what_has_no_effect_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuning = Tuning(tmp_path, "cell=choice(lstm,momentumlstm)", "cell.mu=interval(0,0.9)", "trials=4")
    with pytest.warns(UserWarning, match=r"cell.mu has no effect and is dropped"):
        tuning.do()
    runs = {(t.params["cell"], t.user_attrs["run"]) for t in tuning.trials()}
    assert sum(cell == "lstm" for cell, _ in runs) == 1
    assert sum(cell == "momentumlstm" for cell, _ in runs) >= 2
    shown = capsys.readouterr().out
    assert re.search(r"trial=\d+ cell=lstm +\S", shown)  # no cell.mu in its line
    assert not re.search(r"cell=lstm\S* cell\.mu", shown.split("jobs 4")[1])


def test_killed_and_interrupted_a_study_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    often = (*SPACE, "trainer.checkpoint_seconds=0", "trainer.epochs=8", "trials=3", "pruner=none")
    tuning, undisturbed = Tuning(tmp_path / "killed", *often), Tuning(tmp_path / "whole", *often)
    moments = random.Random(0)
    for number, sent in ((2, signal.SIGKILL), (3, signal.SIGINT)):
        process = tuning.start()
        tuning.wait_for_run(number, process)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (130 if sent == signal.SIGINT else -sent), errors
        assert tuning.trials()[-1].state == TrialState.RUNNING
    assert errors.endswith("the same command goes on.\n")
    tuning.do()
    undisturbed.do()
    assert tried(tuning.trials()) == tried(undisturbed.trials())
    assert len(list((tmp_path / "killed").glob("*seed0*"))) == 3


def test_two_processes_share_a_study(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path, "cell.s=range(0.1,0.35,0.1)", "trials=8", "pruner=none")
    processes = [tuning.start(), tuning.start()]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    done = [{int(line.split()[1][:-1]) for line in out.splitlines() if line.startswith("trial ")} for out, _ in outputs]
    assert done[0] | done[1] == set(range(8))
    assert not done[0] & done[1]
    trials = tuning.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    assert len({(trial.params["cell.s"], trial.value) for trial in trials}) == len(list(tmp_path.glob("*seed0*"))) <= 3


def test_a_trial_that_takes_its_processes_down_counts_as_failed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = read_command(["cell.s=0.3,0.6", "trials=1"]).options
    taken = 0
    while True:
        with contextlib.suppress(SystemExit), Study(tmp_path, options, higher=True).next_trial() as trial:
            if trial is None:
                break
            taken += 1
            raise SystemExit
    assert taken == 1 + study_module.MOST_DEATHS
    assert [t.state for t in Study(tmp_path, options, higher=True).trials()] == [TrialState.FAIL]


def test_a_damaged_study_is_said(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database, whatever its name says" * 100)
    with pytest.raises(UserError, match=r"study.db is damaged"):
        Study(tmp_path, read_command(["cell.s=0.3,0.6"]).options, higher=True)


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
