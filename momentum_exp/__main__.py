"""`python -m momentum_exp`: compose a configuration, make sure of it, train one run (with `-m`: a sweep)."""

import os
import sys

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from momentum_exp.command_line import conf_dir, explain_composition_error, overrides_first, register_resolvers, say
from momentum_exp.config import register
from momentum_exp.exit_code import DONE, FAILED, INTERRUPTED, MISTAKEN
from momentum_exp.runs.job import prepare_process, run_job
from momentum_exp.runs.outcome import first_line
from momentum_exp.runs.sweep import ID, Announcement, new_id
from momentum_exp.training.distributed import current_ranks


def main() -> None:
    """The console script `momentum-exp`. Exit code 0: done; 1: failed; 2: the command needs mending."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    os.environ[ID] = new_id()
    prepare_process()
    register()
    register_resolvers()
    current_ranks()
    Announcement.sweep = None
    failed = False
    try:
        code = command()
        if Announcement.sweep:
            code = max(code, Announcement.sweep.conclude(Announcement.jobs))
    except Exception:
        failed = True
        raise
    finally:
        current_ranks().leave(failed=failed)
    sys.exit(code)


def command() -> int:
    """Let Hydra do what the command line says, and put what stops it into words; the exit code."""
    sys.argv[1:] = overrides_first(sys.argv[1:])
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(run_job)()
    except (HydraException, OmegaConfBaseException) as error:
        say(f"error: {explain_composition_error(error, sys.argv[1:])}")
        return MISTAKEN
    except yaml.YAMLError as error:
        say(f"error: a YAML file cannot be read: {' '.join(str(error).split())}")
        return MISTAKEN
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if not Announcement.sweep or Announcement.sweep.folder.is_dir():
            raise
        say(f"error: cannot write {error.filename}: {error.strerror}. Write paths.runs=FOLDER, one that can be written")
        return MISTAKEN
    except Exception as error:
        if not Announcement.parallel:
            raise
        say(
            f"error: the launcher gave up ({type(error).__name__}: {first_line(str(error))}); the same command goes on "
            "with what is lost or did not run"
        )
        return FAILED
    return DONE


if __name__ == "__main__":
    main()
