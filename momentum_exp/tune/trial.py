"""One trial: an ordinary run whose validation metric is reported after each epoch."""

import math
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from optuna.trial import Trial, TrialState

from momentum_exp.command_line import given_keys
from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS, Metric
from momentum_exp.runs.folder import RunFolder
from momentum_exp.runs.identity import identity
from momentum_exp.runs.outcome import Outcome
from momentum_exp.runs.run import RunFailed, run
from momentum_exp.tracking.records import Records
from momentum_exp.tracking.selection import select
from momentum_exp.training.interruption import Stopped
from momentum_exp.tune.study import TuningStudy
from momentum_exp.validation import get, validate

FAILURE = 1
NO_EFFECT = "without_effect"


class Reporter:
    """A tracker that reports to Optuna and ends the run where Optuna would prune the trial."""

    def __init__(self, trial: Trial, metric: Metric, records: Records, known: Mapping[int, float]) -> None:
        self.trial, self.metric, self.records, self.known = trial, metric, records, set(known)

    def start(self, total_steps: int, done_steps: int) -> None:
        """A run that goes on has epochs behind it."""
        self.report_all()

    def record(self, record: Mapping[str, Any]) -> None:
        if record["kind"] != "epoch":
            return
        self.report(record)
        if self.trial.should_prune():
            value = self.metric.show(record.get(f"val_{self.metric.name}"))
            raise Stopped(f"pruned after epoch {record['epoch']} with validation {self.metric.name} {value}")

    def finish(self, summary: Mapping[str, Any], state: str) -> None:
        """Nothing: what the trial came to is told elsewhere."""

    def report_all(self) -> None:
        """Report the epochs that the run's records have."""
        for epoch in self.records.epochs():
            self.report(epoch)

    def report(self, epoch: Mapping[str, Any]) -> None:
        """Report an epoch, unless that was done or its metric is not finite."""
        number, value = math.ceil(epoch["epoch"]), epoch.get(f"val_{self.metric.name}")
        if number not in self.known and value is not None and math.isfinite(value):
            self.known.add(number)
            self.trial.report(value, number)


def do_trial(
    study: TuningStudy, trial: Trial, composed: DictConfig, overrides: Sequence[str], *, lenient: bool
) -> None:
    """Do the trial's run and tell the study what came out of it, failures included.

    `lenient`: keys without effect are dropped. Raises RunFailed or KeyboardInterrupt where the user interrupted it or
    the disk refused, UserError where there is something to mend: the trial stays as it is, to be taken over.
    """
    try:
        value = run_trial(study, trial, composed, overrides, lenient=lenient)
    except Stopped as reason:
        conclude(study, trial, TrialState.PRUNED, "pruned", str(reason))
    except RunFailed as error:
        if error.exit_code != FAILURE:
            trial.set_user_attr("interrupted", True)
            raise
        conclude(study, trial, TrialState.FAIL, error.outcome.state, str(error))
    except (UserError, KeyboardInterrupt):
        trial.set_user_attr("interrupted", True)
        raise
    except Exception as error:
        traceback.print_exc()
        conclude(study, trial, TrialState.FAIL, "failed", f"{type(error).__name__}: {error}")
    else:
        study.optuna.tell(trial, value)


def conclude(study: TuningStudy, trial: Trial, state: TrialState, word: str, why: str) -> None:
    """Tell the study of a trial without a value, and the user why."""
    trial.set_user_attr("state", word)
    trial.set_user_attr("why", why)
    study.optuna.tell(trial, state=state)
    print(f"trial {trial.number}: {why}", flush=True)


def run_trial(
    study: TuningStudy, trial: Trial, composed: DictConfig, overrides: Sequence[str], *, lenient: bool
) -> float:
    """The best validation metric of the trial's run. Raises what `run` raises, Stopped where the trial is pruned."""
    config = validate(composed, given_keys(overrides), sweep=lenient)
    trial.set_user_attr(NO_EFFECT, [key for key in trial.params if "." in key and get(config, key) is None])
    metric = METRICS[config.task.name]
    folder = RunFolder(Path(config.paths.runs) / identity(config).folder)
    trial.set_user_attr("run", str(folder.path))
    records = Records(folder.metrics)
    known = study.trials()[trial.number].intermediate_values
    reporter = Reporter(trial, metric, records, known)
    while (outcome := run(composed, overrides, sweep=lenient, followers=[reporter])).state == "busy":
        with folder.claim.held(wait=math.inf):  # until the process that is at the run has left it
            pass
    reporter.report_all()
    return measured(outcome, trial, records, metric)


def measured(outcome: Outcome, trial: Trial, records: Records, metric: Metric) -> float:
    """The best validation metric in the records. Raises UserError where there is none."""
    trial.set_user_attr("seconds", outcome.seconds)
    best = select(records.epochs(), "best_val", metric)
    if best is None:
        raise UserError("the run has no validation metric: it held nothing out. Write data.validation=..")
    return float(best[f"val_{metric.name}"])
