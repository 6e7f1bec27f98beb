"""`python -m momentum_exp`: compose a configuration, make sure of it, train one run (with `-m`: a sweep)."""

import functools
import math
import os
import signal
import sys
import traceback
import warnings

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from momentum_exp.command_line import conf_dir, explain_composition_error, register_resolvers
from momentum_exp.config import register
from momentum_exp.errors import UserError

USER_ERROR, FAILURE, INTERRUPTED = 2, 1, 130
exit_codes: list[int] = []


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def run_job(composed: DictConfig) -> float:
    """One job of Hydra's; the selection metric, or NaN where the job failed (said at once, and remembered)."""
    from momentum_exp.runs.run import RunFailed, run

    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    try:
        return run(composed, overrides, sweep=job.mode == RunMode.MULTIRUN)
    except UserError as error:
        say(f"error: {error}")
        exit_codes.append(USER_ERROR)
    except RunFailed as error:
        say(str(error))
        exit_codes.append(error.exit_code)
        if error.exit_code == INTERRUPTED:
            raise KeyboardInterrupt from None
    except Exception:
        if job.mode != RunMode.MULTIRUN:
            raise
        traceback.print_exc()
        exit_codes.append(FAILURE)
    return math.nan


def say(message: str) -> None:
    """Print a message to standard error, apart from results."""
    print(f"momentum_exp: {message}", file=sys.stderr, flush=True)


@functools.cache
def warn_once(message: str) -> None:
    """Say a warning the first time: the jobs of a sweep share it."""
    say(f"warning: {message}")


def main() -> None:
    """The console script `momentum-exp`. Exit code 0: done; 1: failed; 2: the command needs mending."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    warnings.showwarning = lambda message, *_, **__: warn_once(str(message))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    register()
    register_resolvers()
    try:
        run_job()
    except (HydraException, OmegaConfBaseException) as error:
        say(f"error: {explain_composition_error(error, sys.argv[1:])}")
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(max(exit_codes, default=0))


if __name__ == "__main__":
    main()
