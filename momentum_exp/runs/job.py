"""One job of Hydra's, alone or in a sweep, in whichever process the launcher puts it."""

import functools
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from momentum_exp.command_line import say
from momentum_exp.errors import UserError
from momentum_exp.exit_code import DONE, FAILED, INTERRUPTED, MISTAKEN
from momentum_exp.reader import outlive_the_reader
from momentum_exp.runs.outcome import Outcome
from momentum_exp.runs.share import gpu_of, threads_each, usable_cores
from momentum_exp.runs.sweep import ID, Sweep
from momentum_exp.training.distributed import current_ranks
from momentum_exp.training.interruption import Interruption


def run_job(composed: DictConfig) -> float:
    """Do a job and return its selection metric, NaN where it has none.

    Alone, a job that fails raises SystemExit with its exit code. In a sweep it leaves its outcome in the sweep's
    folder instead, so that none hides another, and jobs after an interruption do nothing.
    """
    prepare_process()
    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    if job.mode != RunMode.MULTIRUN:
        outcome, code = attempt(composed, overrides, sweep=False)
        if code != DONE:
            raise SystemExit(code)
        return outcome.metric
    sweep = Sweep(Path(job.sweep.dir), os.environ[ID])
    if sweep.interrupted:
        return Outcome("not run", "--").metric
    share_machine(composed, job)
    try:
        sweep.begin(job.job.num, overrides)
        outcome, code = attempt(composed, overrides, sweep=True, done=sweep.done())
        if code == INTERRUPTED and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            give_way()
        sweep.end(job.job.num, replace(outcome, job=" ".join(overrides)), code)
    except OSError as error:
        say(f"cannot write {error.filename or sweep.folder} ({error.strerror}): the table will call this job lost")
        return Outcome("lost", "--").metric
    return outcome.metric


def attempt(
    composed: DictConfig, overrides: list[str], *, sweep: bool, done: Collection[str] = ()
) -> tuple[Outcome, int]:
    """The outcome of a run and its exit code, what went wrong said at once. `done`: as for `run`.

    An internal error of a run alone is raised: its traceback is the message.
    """
    from momentum_exp.runs.run import RunFailed, run  # figures and trackers take time, which a mistake need not

    try:
        return run(composed, overrides, sweep=sweep, done=done), DONE
    except UserError as error:
        say(f"error: {error}")
        return Outcome("failed", "--"), MISTAKEN
    except RunFailed as error:
        say(str(error))
        return error.outcome, error.exit_code
    except KeyboardInterrupt:  # outside the training steps
        return Outcome("interrupted", "--"), INTERRUPTED
    except Exception:
        if not sweep:
            raise
        traceback.print_exc()
        return Outcome("failed", "--"), FAILED


def give_way() -> None:
    """End a job that SLURM has interrupted without an outcome: it will be started again, and the run goes on.

    SLURM sends SIGTERM before it requeues a job (preemption, `scontrol requeue`), and SIGUSR2 before a time limit, at
    which submitit itself has the job requeued. An outcome would tell those who wait that the job is done.
    """
    if Interruption.received == signal.SIGUSR2:
        signal.raise_signal(signal.SIGUSR2)
    raise SystemExit(INTERRUPTED)


def share_machine(composed: DictConfig, job: HydraConf) -> None:
    """Give a job of several at a time on this machine its part of it: threads, and a GPU.

    Without trainer.threads it takes cores // n_jobs. The GPU is this process's current one from now on.
    """
    n_jobs = job.launcher.get("n_jobs")  # joblib's
    if n_jobs is None:
        return
    import torch

    os.environ["TERM"] = "dumb"  # lines, no progress bars: several jobs share one screen
    if composed.trainer.threads is None:
        composed.trainer.threads = threads_each(usable_cores(), n_jobs)
    if (gpu := gpu_of(job.job.num, torch.cuda.device_count())) is not None:
        torch.cuda.set_device(gpu)


def prepare_process() -> None:
    """Warnings said once in our own words, SIGTERM like Ctrl-C, readers that may leave, in a job's process.

    Only its main thread can take signals: a job in another thread leaves them as they are.
    """
    outlive_the_reader()
    warnings.showwarning = lambda message, *_, **__: warn_once(str(message))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@functools.cache
def warn_once(message: str) -> None:
    """Say a warning the first time: the jobs of a process share it, as do the processes of a run."""
    if current_ranks().first:
        say(f"warning: {message}")
