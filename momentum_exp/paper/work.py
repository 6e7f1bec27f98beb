"""The runs that are missing, each as the command that makes it by hand; one that fails never hides another."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from momentum_exp.errors import UserError
from momentum_exp.paper.study import Planned
from momentum_exp.runs.share import gpu_of, threads_each, usable_cores
from momentum_exp.runs.state import run_state

SUBPROCESSES = "basic"
"""The launcher that is none: a subprocess a run. Any other is one of Hydra's, and a command an arm."""
POLL_SECONDS = 0.1


def check_launcher(launcher: str) -> None:
    """Raise UserError unless `launcher` begins with the name of one that is installed."""
    Plugins.instance()  # registers them
    names = [file.removesuffix(".yaml") for file in ConfigStore.instance().list("hydra/launcher")]
    if not launcher.split() or launcher.split()[0] not in names:
        raise UserError(
            f"LAUNCHER={launcher}: takes {', '.join(names)}, with its settings after it. joblib and submitit_slurm "
            "come with pip install 'momentum-exp[joblib]' and 'momentum-exp[slurm]'. Write --launcher joblib"
        )


@dataclass(frozen=True)
class Job:
    """One command, what to call it, and the folders of its runs. Its output goes to the file `log`."""

    name: str
    command: Sequence[str]
    log: Path
    folders: Sequence[Path] = ()

    @property
    def states(self) -> str:
        """What has come of its runs: `done`; `running` where another process was at one."""
        return ", ".join(dict.fromkeys(run_state(folder).state for folder in self.folders))


@dataclass
class Failure:
    """A job that failed, the first line of its error, and where all of its output is."""

    job: Job
    error: str

    @property
    def lines(self) -> list[str]:
        """A line a run: of several in one command, what each that is not done has left on the disk as its error."""
        states = {folder.name: run_state(folder) for folder in self.job.folders}
        errors = {name: state.error for name, state in states.items() if state.state not in ("done", "running")}
        if len(states) < 2 or not errors:
            errors = {self.job.name: self.error}
        return [f"{name}: {error or self.error} ({self.job.log})" for name, error in errors.items()]


def jobs(missing: Sequence[Planned], runs: Path, launcher: str, at_once: int, retry: bool) -> list[Job]:
    """The commands for runs that are missing: one a run, or one an arm, a job a run, for a launcher of Hydra's.

    A run has its share of the processor's cores as threads, or torch's choice where one runs at a time. `launcher` is
    a name, and overrides of its own settings after it: `submitit_slurm hydra.launcher.partition=gpu`.

    Raises UserError for several `at_once` with a launcher, which has its own setting for that.
    """
    common = [f"paths.runs={_quoted(runs)}", *(["retry=true"] if retry else [])]
    if launcher == SUBPROCESSES:
        if at_once > 1:
            common.append(f"trainer.threads={threads_each(usable_cores(), at_once)}")
        return [
            Job(
                run.identity.folder,
                _command(*run.overrides, f"seed={run.seed}", *common),
                _log(runs, run.identity.folder),
                [run.folder(runs)],
            )
            for run in missing
        ]
    launcher_name, *settings = launcher.split()
    if at_once > 1:
        raise UserError(
            f"--jobs {at_once} has no effect with --launcher {launcher_name}, which says itself how many runs go at a "
            f"time. Leave out --jobs; for joblib write --launcher 'joblib hydra.launcher.n_jobs={at_once}'"
        )
    seeds: dict[str, list[Planned]] = {}
    for run in missing:
        seeds.setdefault(run.identity.group, []).append(run)
    return [
        Job(
            name := f"{arm[0].study}-{arm[0].arm}-{arm[0].scale}-{group}",
            _command(
                "-m",
                *arm[0].overrides,
                f"seed={','.join(str(run.seed) for run in arm)}",
                f"hydra/launcher={launcher_name}",
                *settings,
                *common,
            ),
            _log(runs, name),
            [run.folder(runs) for run in arm],
        )
        for group, arm in seeds.items()
    ]


def work(todo: Sequence[Job], at_once: int) -> Generator[tuple[Job, Failure | None], None, None]:
    """Run the jobs, `at_once` at a time, and yield each as it ends, with its failure if it failed.

    Several at a time share the GPUs, if there are any, round robin.
    Raises KeyboardInterrupt on SIGINT, SIGTERM or SIGHUP (not under nohup), once the jobs under way have saved and
    ended.
    """
    waiting = deque(enumerate(todo))
    gpus = [gpu for gpu in _gpus() if gpu] if at_once > 1 else []
    live: dict[subprocess.Popen[bytes], tuple[Job, int]] = {}
    hang_up = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    # SIGINT, too: a shell script starts a job in the background with it ignored, and the runs would inherit that.
    former = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGTERM, *hang_up)
    }
    try:
        while waiting or live:
            while waiting and len(live) < at_once:
                number, job = waiting.popleft()
                gpu = gpu_of(number, len(gpus))
                process, said_before = _start(job, {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpus[gpu]})
                live[process] = job, said_before
            ended = [process for process in live if process.poll() is not None]
            for process in ended:
                job, said_before = live.pop(process)
                why = "" if process.returncode == 0 else _first_error(job.log, said_before, process.returncode)
                yield job, Failure(job, why) if why else None
            if not ended:
                time.sleep(POLL_SECONDS)
    finally:
        for process in live:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)  # as the terminal does: a launcher's workers get it, too
        for process in live:
            process.wait()
        for number, handler in former.items():
            signal.signal(number, handler)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "momentum_exp", *arguments]


def _quoted(path: Path) -> str:
    """A path as a value in Hydra's grammar, whatever is in it."""
    escaped = str(path).replace("'", r"\'")
    return f"'{escaped}'"


def _log(runs: Path, name: str) -> Path:
    return runs / "logs" / f"{name}.log"


def _gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls the GPUs that a run may take."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(gpu) for gpu in range(torch.cuda.device_count())] if given is None else given.split(",")


def _start(job: Job, environment: Mapping[str, str]) -> tuple["subprocess.Popen[bytes]", int]:
    """The process, and how long its log was before: other commands at the same run write there, too.

    It is in a session of its own: Ctrl-C on the terminal reaches this process alone, which hands it on once.
    """
    try:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with open(job.log, "ab") as log:
            said_before = log.tell()
            process = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **environment},
            )
            return process, said_before
    except OSError as error:
        raise UserError(f"cannot write {error.filename or job.log}: {error.strerror}. Write --runs FOLDER") from error


def _first_error(log: Path, start: int, code: int) -> str:
    """What a failed run said: the message of the command line, the exception of a traceback, or its exit code."""
    lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    said = [
        line for line in lines if line.startswith("momentum_exp: ") and not line.startswith("momentum_exp: warning")
    ]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
    found = next(iter(said), "").removeprefix("momentum_exp: ").removeprefix("error: ") or next(iter(raised[-1:]), "")
    return found or (f"killed by signal {-code}" if code < 0 else f"exit code {code}")
