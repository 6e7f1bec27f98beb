"""A study is what its command says: the same wherever it was left, and its trials are ordinary runs."""

import random
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from optuna.trial import TrialState
from tuning_command import SPACE, TINY, Tuning, tried

from momentum_exp.command_line import conf_dir, register_resolvers
from momentum_exp.config import register
from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.identity import identity
from momentum_exp.tune.options import read_command
from momentum_exp.tune.study import TuningStudy
from momentum_exp.tune.tuning import check, study_folder
from momentum_exp.validation import validate


def test_trials_are_the_same_wherever_a_study_was_left(tmp_path: Path) -> None:
    """Past the random start of TPE, by Optuna's own numbers alone: nothing is trained."""
    options = read_command(["cell.mu=interval(0,0.9)", "cell.s=0.3,0.6,1.0", "trials=16"])
    moments = random.Random(0)

    def go_on(folder: Path, stop: Callable[[], bool]) -> bool:
        study = TuningStudy(folder, options.options, higher=True)
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
    whole, left = (TuningStudy(tmp_path / name, options.options, higher=True).trials() for name in ("whole", "left"))
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
