"""A configuration from overrides, as the command line composes it."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from momentum_exp.command_line import conf_dir, explain_composition_error, given_keys, register_resolvers
from momentum_exp.config import Config, register
from momentum_exp.errors import UserError
from momentum_exp.validation import validate


def compose_config(overrides: Sequence[str]) -> Config:
    """The validated configuration of `python -m momentum_exp OVERRIDES`. Raises UserError where that would be an error.

    Not for use inside a job of Hydra's, which has its configuration already.
    """
    register()
    register_resolvers()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose("config", list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain_composition_error(error, list(overrides))) from error
    return validate(composed, given_keys(overrides), sweep=False)
