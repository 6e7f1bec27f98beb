"""`python -m momentum_exp.tune`: choose values of keys by the validation split, with Optuna, a run for each trial.

    python -m momentum_exp.tune cell=momentumlstm data=pdigits trials=20 \\
        'cell.mu=interval(0,0.9)' 'cell.s=choice(0.1,0.3,0.6,1.0)' 'optimizer.lr=tag(log,interval(1e-4,1e-2))'
    python -m momentum_exp.tune tune=lstm cell=lstm data=pdigits     # a file of conf/tune

Overrides are written as for `python -m momentum_exp`; those that Hydra would sweep over are tuned. The same command
goes on with its study; several processes may share one.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from momentum_exp.command_line import explain_composition_error, say
from momentum_exp.errors import UserError
from momentum_exp.exit_code import DONE, FAILED, INTERRUPTED, MISTAKEN
from momentum_exp.runs.job import prepare_process


def main() -> None:
    """Exit code 0: tuned; 1: no trial has finished; 2: the command needs mending; 130: interrupted, goes on."""
    if find_spec("optuna") is None:
        say("error: tuning needs a package that is not installed: pip install 'momentum-exp[tune]'")
        sys.exit(MISTAKEN)
    from momentum_exp.tune.options import key_table, read_command

    parser = argparse.ArgumentParser(
        prog="python -m momentum_exp.tune",
        description=__doc__,
        epilog=f"keys of tuning, each with its default:\n{key_table()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", help="key=value, key=interval(..), ..")
    parser.add_argument("--config-dir", type=Path, help="a folder with groups of your own, as for momentum_exp")
    arguments = parser.parse_args()
    prepare_process()
    try:
        from momentum_exp.runs.run import RunFailed
        from momentum_exp.tune.tuning import tune

        try:
            found = tune(read_command(arguments.overrides, arguments.config_dir))
        except RunFailed as error:
            say(str(error))
            sys.exit(error.exit_code)
    except UserError as error:
        say(f"error: {error}")
        sys.exit(MISTAKEN)
    except (HydraException, OmegaConfBaseException) as error:
        say(f"error: {explain_composition_error(error, arguments.overrides)}")
        sys.exit(MISTAKEN)
    except YAMLError as error:
        say(f"error: a YAML file cannot be read: {' '.join(str(error).split())}")
        sys.exit(MISTAKEN)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on with the study.")
        sys.exit(INTERRUPTED)
    sys.exit(DONE if found else FAILED)


if __name__ == "__main__":
    main()
