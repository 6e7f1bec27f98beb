"""`python -m momentum_exp`: compose a configuration, make sure of it, train one run (with `-m`: a sweep)."""

import functools
import os
import signal
import sys
import traceback
import warnings
from dataclasses import replace

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from momentum_exp.command_line import conf_dir, explain_composition_error, register_resolvers
from momentum_exp.config import register
from momentum_exp.errors import UserError
from momentum_exp.runs.outcome import Outcome, show_sweep
from momentum_exp.training.distributed import current_ranks

USER_ERROR, FAILURE, INTERRUPTED = 2, 1, 130
exit_codes: list[int] = []
outcomes: list[Outcome] = []  # of the jobs of a sweep


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def run_job(composed: DictConfig) -> float:
    """One job of Hydra's; the selection metric, or NaN where the job failed (said at once, and remembered)."""
    from momentum_exp.runs.run import RunFailed, run

    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    sweep = job.mode == RunMode.MULTIRUN
    outcome = Outcome("failed", "--")
    if sweep and current_ranks().several:
        say("error: torchrun does one run on several processes, not a sweep. Leave out -m, or torchrun")
        sys.exit(USER_ERROR)
    try:
        outcome = run(composed, overrides, sweep=sweep)
    except UserError as error:
        say(f"error: {error}")
        exit_codes.append(USER_ERROR)
    except RunFailed as error:
        say(str(error))
        outcome = error.outcome
        exit_codes.append(error.exit_code)
    except Exception:
        if not sweep:
            raise
        traceback.print_exc()
        exit_codes.append(FAILURE)
    if sweep:
        outcomes.append(replace(outcome, job=" ".join(overrides)))
    if outcome.state == "interrupted":
        raise KeyboardInterrupt
    return outcome.metric


def say(message: str) -> None:
    """Print a message to standard error, apart from results; of several processes of a run, once."""
    if current_ranks().speaks:
        print(f"momentum_exp: {message}", file=sys.stderr, flush=True)


@functools.cache
def warn_once(message: str) -> None:
    """Say a warning the first time: the jobs of a sweep share it, as do the processes of a run."""
    if current_ranks().first:
        say(f"warning: {message}")


def main() -> None:
    """The console script `momentum-exp`. Exit code 0: done; 1: failed; 2: the command needs mending."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    warnings.showwarning = lambda message, *_, **__: warn_once(str(message))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    register()
    register_resolvers()
    current_ranks()
    try:
        command()
    finally:
        current_ranks().leave()


def command() -> None:
    """Run the command line's jobs, say how they ended, and exit."""
    try:
        run_job()
    except (HydraException, OmegaConfBaseException) as error:
        say(f"error: {explain_composition_error(error, sys.argv[1:])}")
        exit_codes.append(USER_ERROR)
    except yaml.YAMLError as error:
        say(f"error: a YAML file cannot be read: {' '.join(str(error).split())}")
        exit_codes.append(USER_ERROR)
    except KeyboardInterrupt:
        exit_codes.append(INTERRUPTED)
    if outcomes:
        show_sweep(outcomes)
    sys.exit(max(exit_codes, default=0))


if __name__ == "__main__":
    main()
