"""A study that any number of processes share and any of them can leave: trials in SQLite, a claim on each.

A trial that calls itself running and that no living process has a claim on was left behind, by a kill or Ctrl-C, and
whoever comes next takes it over; its run goes on from the run's checkpoint. Trials are handed out under the claim on
the study. What a trial tries is a function of the sampler's seed, the trial's number and the results so far, so a study
that was interrupted goes on as if it had not been.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DatabaseError, OperationalError

from momentum_exp.errors import UserError
from momentum_exp.runs.claim import Busy, FolderClaim
from momentum_exp.tune.options import TuneOptions

PATIENCE_SECONDS = 60.0
"""How long another process may be handing out a trial, or writing to the study."""
MOST_DEATHS = 3
"""Processes that a trial may take down with it before it counts as failed."""


class TuningStudy:
    """The study in `folder`, made where there is none; `higher`: whether a higher value is better.

    Raises UserError where the folder can't be written or the file there is no study.
    """

    def __init__(self, folder: Path, options: TuneOptions, *, higher: bool) -> None:
        self.folder, self.options = folder, options
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._claim = FolderClaim(folder)
            with self._claim.held(PATIENCE_SECONDS):
                patient = {"connect_args": {"timeout": PATIENCE_SECONDS}}
                storage = optuna.storages.RDBStorage(f"sqlite:///{self.path}", patient)
                self.optuna = optuna.create_study(
                    storage=storage,
                    study_name=folder.name,
                    direction="maximize" if higher else "minimize",
                    pruner=pruner(options),
                    load_if_exists=True,
                )
        except (OSError, OperationalError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise UserError(f"cannot write the study {folder}: {reason}. Write paths.runs=FOLDER") from error
        except (DatabaseError, RuntimeError) as error:
            raise UserError(
                f"{self.path} is damaged or of another version ({str(error).splitlines()[0]}). "
                "Move it away to start the study again: finished runs are reused"
            ) from error

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return self.folder / "study.db"

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """All trials so far, or those in one of the given states."""
        return self.optuna.get_trials(deepcopy=False, states=states or None)

    @contextmanager
    def next_trial(self) -> Iterator[Trial | None]:
        """A trial to do, nobody else's while the context lasts: one that was left behind, or else a new one.

        None where the budget is spent, but for what other processes are at.
        """
        with ExitStack() as claims:
            with self._claim.held(PATIENCE_SECONDS):
                trial = self._left_behind(claims) or self._new(claims)
            yield trial

    def _left_behind(self, claims: ExitStack) -> Trial | None:
        for frozen in self.trials(TrialState.RUNNING):
            try:
                claims.enter_context(self._claimed(frozen.number))
            except Busy:
                continue
            deaths = frozen.user_attrs.get("deaths", 0) + (not frozen.user_attrs.get("interrupted", False))
            if self._frozen(frozen.number).state == TrialState.RUNNING and deaths <= MOST_DEATHS:
                self._seed(frozen.number)
                trial = Trial(self.optuna, frozen._trial_id)  # what ask() returns, of a trial that is there already
                trial.set_user_attr("deaths", deaths)
                trial.set_user_attr("interrupted", False)
                return trial
            if deaths > MOST_DEATHS:
                self.optuna.tell(frozen.number, state=TrialState.FAIL, skip_if_finished=True)
        return None

    def _new(self, claims: ExitStack) -> Trial | None:
        number = len(self.trials())
        if number >= self.options.trials:
            return None
        self._seed(number)
        claims.enter_context(self._claimed(number))
        return self.optuna.ask()

    @contextmanager
    def _claimed(self, number: int) -> Iterator[None]:
        """The claim on a trial, in a folder of its own, which is there only as long. Raises Busy."""
        folder = self.folder / f"trial-{number}"
        folder.mkdir(exist_ok=True)
        with FolderClaim(folder).held():
            yield
        with suppress(OSError):  # another process waits for it
            folder.rmdir()

    def _seed(self, number: int) -> None:
        """Let the sampler draw from the trial's own seed: a process that comes later draws no number again."""
        seed = int(np.random.SeedSequence((self.options.sampler_seed, number)).generate_state(1)[0])
        samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
        self.optuna.sampler = samplers[self.options.sampler](seed=seed)

    def _frozen(self, number: int) -> FrozenTrial:
        return self.trials()[number]


def pruner(options: TuneOptions) -> optuna.pruners.BasePruner:
    """What decides after each epoch; epochs are counted from 1."""
    if options.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(options.startup_trials, n_warmup_steps=options.warmup_epochs + 1)
