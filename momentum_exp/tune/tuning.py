"""From a tuning command to its best trial: what is sure is checked first, then trials are done until none is left."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from momentum_exp.command_line import conf_dir, given_keys, register_resolvers
from momentum_exp.config import Config, register
from momentum_exp.data import data_root, load_dataset
from momentum_exp.data.labelled import Labelled
from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS, Metric
from momentum_exp.runs.identity import digest, identity
from momentum_exp.runs.outcome import Outcome, show_sweep
from momentum_exp.tune.options import Command, facts
from momentum_exp.tune.space import probes
from momentum_exp.tune.study import TuningStudy
from momentum_exp.tune.trial import NO_EFFECT, do_trial
from momentum_exp.validation import validate

TWELFTH = 12  # of the training rows are suggested to be held out: 5,000 of MNIST's


def tune(command: Command) -> bool:
    """Do what is left of the study and show what came out of it; whether any trial has finished.

    Raises UserError before anything is on disk.
    """
    register()
    register_resolvers()
    lenient = any(one.names for one in command.space.values())
    extremes = check(command, lenient=lenient)
    metric = METRICS[extremes[0].task.name]
    study = TuningStudy(study_folder(command, extremes), command.options, higher=metric.higher)
    print(f"study {study.path}: {len(study.trials())} of {command.options.trials} trials so far", flush=True)
    while True:
        with study.next_trial() as trial:
            if trial is None:
                break
            overrides = [*command.fixed, *(one.suggest(trial) for one in command.space.values())]
            print(f"trial {trial.number}: {' '.join(overrides[len(command.fixed) :])}", flush=True)
            do_trial(study, trial, composed(command, overrides), overrides, lenient=lenient)
    show(study, command, metric)
    return bool(study.trials(TrialState.COMPLETE))


def composed(command: Command, overrides: Sequence[str]) -> DictConfig:
    """The configuration as `python -m momentum_exp` would compose it."""
    own = [f"hydra.searchpath=[file://{command.config_dir.resolve()}]"] if command.config_dir else []
    with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=[*overrides, *own])


def check(command: Command, *, lenient: bool) -> list[Config]:
    """The validated configurations at the edges of the space, which all have rows held out and one metric.

    Raises UserError for everything that the user can mend.
    """
    configs: list[Config] = []
    for edge in probes(command.space):
        overrides = [*command.fixed, *edge]
        configs.append(validate(composed(command, overrides), given_keys(overrides), sweep=lenient))
    if configs[0].force:
        raise UserError("force=true would run every trial again that a kill has left behind; leave it out")
    if len({METRICS[config.task.name] for config in configs}) > 1:
        raise UserError("the values to choose among lead to tasks with different metrics; tune one task at a time")
    seen: list[object] = []
    for config in configs:
        if config.data not in seen:
            seen.append(config.data)
            check_held_out(config)
    return configs


def check_held_out(config: Config) -> None:
    """Raise UserError where there are no validation rows of the data set's own: nothing is tuned on the test set."""
    if config.data.exchange_splits:
        raise UserError(
            f"data.exchange_splits=true (the default where data.protocol=released) validates {config.data.name} on its "
            "core test set, and nothing is tuned on the test set. Write data.exchange_splits=false"
        )
    dataset = load_dataset(config.data, data_root(config), config.seed)
    if dataset.evaluation("val", config.trainer.batch_size) is None:
        rows = len(dataset.train) // TWELFTH if isinstance(dataset, Labelled) else 5000
        raise UserError(
            f"data set {config.data.name} holds nothing out (data.validation={config.data.validation}), and nothing is "
            f"tuned on the test set. Write for example data.validation={rows}"
        )


def study_folder(command: Command, extremes: Sequence[Config]) -> Path:
    """Where the study is: a function of what is tuned, on what and how, the number of trials left aside."""
    runs = [identity(config) for config in extremes]
    content = {
        "runs": [run.hash for run in runs],
        "space": {key: distribution_to_json(one.distribution) for key, one in command.space.items()},
        **facts(command.options),
    }
    cells = "+".join(dict.fromkeys(run.cell for run in runs))
    return Path(extremes[0].paths.runs) / "tune" / f"{runs[0].data}-{cells}-{digest(content)}"


def show(study: TuningStudy, command: Command, metric: Metric) -> None:
    """Print the trials as a table, the best one's values, and the command of its run."""
    trials = study.trials()
    show_sweep([outcome(trial, metric) for trial in trials])
    if others := sum(trial.state == TrialState.RUNNING for trial in trials):
        print(f"{others} of them in other processes; the same command shows what they come to")
    if not study.trials(TrialState.COMPLETE):
        print("no trial has finished, so there is no best one")
        return
    best = study.optuna.best_trial
    values = [one.override(best.params[key]) for key, one in command.space.items() if key in effective(best)]
    config_dir = ["--config-dir", str(command.config_dir)] if command.config_dir else []
    print(f"best of {len(trials)} trials: trial {best.number}, validation {metric.name} {metric.show(best.value)}")
    print(f"  {'  '.join(values)}")
    print(f"  run {best.user_attrs['run']}")
    print(f"  {shlex.join(['python', '-m', 'momentum_exp', *command.fixed, *values, *config_dir])}")


def effective(trial: FrozenTrial) -> dict[str, Any]:
    """The trial's values but for keys that have no effect with the others."""
    return {key: value for key, value in trial.params.items() if key not in trial.user_attrs.get(NO_EFFECT, ())}


def outcome(trial: FrozenTrial, metric: Metric) -> Outcome:
    """A trial as a line of the table."""
    states = {TrialState.COMPLETE: "finished", TrialState.RUNNING: "running", TrialState.PRUNED: "pruned"}
    short = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in effective(trial).items()}
    return Outcome(
        trial.user_attrs.get("state") or states.get(trial.state, "failed"),
        trial.user_attrs.get("run", "--"),
        math.nan if trial.value is None or trial.state != TrialState.COMPLETE else trial.value,
        metric.show(trial.value),
        f"best validation {metric.name}",
        trial.user_attrs.get("seconds"),
        " ".join([f"trial={trial.number}", *(f"{key}={value}" for key, value in short.items())]),
    )
