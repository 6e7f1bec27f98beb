"""A sweep's jobs, whichever processes they ran in: each leaves its outcome in a file, their parent shows them all."""

import contextlib
import json
import math
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from momentum_exp.command_line import say
from momentum_exp.exit_code import DONE, FAILED, INTERRUPTED, MISTAKEN
from momentum_exp.files import write_text_whole
from momentum_exp.runs.outcome import Outcome, show_sweep
from momentum_exp.training.distributed import current_ranks

ID = "MOMENTUM_EXP_SWEEP"
"""The environment variable that conf/config.yaml names a sweep by: workers inherit it from their parent."""
STOP = "interrupted"


def new_id() -> str:
    """A name for a sweep's folder that no other process on any machine takes."""
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class Sweep:
    """A sweep's outcomes, shared by all its processes: a file for each job that has started.

    `folder` is Hydra's (hydra.sweep.dir), which may be the user's own; they lie below it in one that `id` names.
    """

    folder: Path
    id: str

    @property
    def outcomes(self) -> Path:
        """The folder that holds nothing but this sweep's outcomes."""
        return self.folder / f".outcomes-{self.id}"

    def begin(self, job: int, overrides: Sequence[str]) -> None:
        """Take note that a job has started: it counts as lost until it says what came of it. May raise OSError."""
        self.outcomes.mkdir(parents=True, exist_ok=True)
        self.end(job, Outcome("lost", "--", job=" ".join(overrides)), FAILED)

    def end(self, job: int, outcome: Outcome, exit_code: int) -> None:
        """Write what came of a job. May raise OSError."""
        facts = asdict(outcome) | {"metric": None if math.isnan(outcome.metric) else outcome.metric}
        write_text_whole(self.outcomes / f"{job}.json", json.dumps({"exit_code": exit_code, "outcome": facts}) + "\n")
        if exit_code == INTERRUPTED:
            (self.outcomes / STOP).touch()

    def results(self) -> dict[int, tuple[Outcome, int]]:
        """Outcome and exit code of each job that has started, by its number."""
        found = {}
        for file in sorted(self.outcomes.glob("*.json"), key=lambda file: int(file.stem)):
            content = json.loads(file.read_text())
            outcome = Outcome(**content["outcome"])
            if content["outcome"]["metric"] is None:
                outcome = replace(outcome, metric=math.nan)
            found[int(file.stem)] = outcome, content["exit_code"]
        return found

    def done(self) -> set[str]:
        """Folders of the runs that a job of this sweep has brought to an end."""
        return {outcome.where for outcome, _ in self.results().values() if outcome.state in ("finished", "diverged")}

    @property
    def interrupted(self) -> bool:
        """Whether the user has interrupted one of the jobs: no other starts."""
        return (self.outcomes / STOP).exists()

    def conclude(self, jobs: Sequence[str]) -> int:
        """Show the table of all `jobs`, remove the outcomes, and return the sweep's exit code.

        A job without an outcome is one that never ran: its launcher gave up before, or the user interrupted it.
        """
        results = self.results()
        never = {i: (Outcome("not run", "--", job=job), FAILED) for i, job in enumerate(jobs) if i not in results}
        if results:
            everything = [pair for _, pair in sorted((never | results).items())]
            show_sweep([outcome for outcome, _ in everything])
            code = max(code for _, code in everything)
        else:
            code = DONE  # nothing started: what stopped the command says its own exit code
        self.remove()
        return code

    def remove(self) -> None:
        """Remove the outcomes and, where Hydra's folder was made for this sweep, that and those above left empty."""
        shutil.rmtree(self.outcomes, ignore_errors=True)
        if self.folder.name != self.id:
            return
        with contextlib.suppress(
            OSError
        ):  # a launcher's logs, other sweeps, runs are left; so is what can't be written
            (self.folder / "multirun.yaml").unlink(missing_ok=True)
            for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
                folder.rmdir()


class Announcement(Callback):
    """Tells the process that starts a sweep where the sweep's folder is, and which jobs there will be."""

    sweep: Sweep | None = None
    jobs: Sequence[str] = ()
    parallel = False

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        if current_ranks().several:
            say("error: torchrun does one run on several processes, no sweep. Leave out -m or hydra.mode, or torchrun")
            raise SystemExit(MISTAKEN)
        kind = type(self)
        kind.sweep = Sweep(Path(config.hydra.sweep.dir), os.environ[ID])
        kind.parallel = "BasicLauncher" not in config.hydra.launcher._target_
        kind.jobs = expected_jobs(config)
        if config.hydra.launcher.get("n_jobs"):  # workers of this terminal, which a Ctrl-C reaches as well
            signal.signal(signal.SIGINT, let_jobs_save)


def let_jobs_save(number: int, frame: FrameType | None) -> None:
    """The first Ctrl-C is the jobs': their parent would kill them before they have saved. The next one acts."""
    say("interrupted: the running jobs save and end, no other starts; Ctrl-C again does not wait")
    signal.signal(signal.SIGINT, signal.default_int_handler)


def expected_jobs(config: DictConfig) -> list[str]:
    """The overrides of each job that Hydra's own sweeper will make; none where another sweeper decides as it goes."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if not config.hydra.sweeper._target_.endswith("BasicSweeper"):
        return []
    given = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    try:
        batches = BasicSweeper.split_arguments(parser.parse_overrides([*given, *config.hydra.overrides.task]), None)
    except HydraException:  # the sweeper is about to say it itself
        return []
    return [" ".join(job) for job in batches[0]]
