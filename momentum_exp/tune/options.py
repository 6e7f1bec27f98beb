"""A tuning command: what is fixed, what is tuned, and how."""

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from momentum_exp.command_line import conf_dir, given_keys
from momentum_exp.config_key import AT_LEAST_0, AT_LEAST_1, Allowed, key, words
from momentum_exp.errors import UserError
from momentum_exp.tune.space import FORMS, Dimension, dimension

GROUP = "tune"


@dataclass
class TuneOptions:
    """The keys of a file of `conf/tune/`, and of the command line."""

    trials: int = key(20, "the budget: trials of the whole study, failed and pruned ones included", AT_LEAST_1, 20)
    sampler: str = key("tpe", "how the next trial is chosen", words("tpe", "random"), "tpe")
    sampler_seed: int = key(0, "seed of the choice", Allowed(0, 2**32 - 1), 0)
    pruner: str = key("median", "which trials are ended early", words("median", "none"), "median")
    startup_trials: int = key(5, "whole trials before any is pruned", AT_LEAST_0, 5)
    warmup_epochs: int = key(0, "epochs of a trial in which it is not pruned", AT_LEAST_0, 2)
    space: dict[str, str] = field(default_factory=dict, metadata={"meaning": "keys to tune, in files", "allowed": None})


@dataclass(frozen=True)
class Command:
    """A tuning command taken apart: `fixed` overrides of every run, the `space` by key, the options."""

    fixed: list[str]
    space: dict[str, Dimension]
    options: TuneOptions
    config_dir: Path | None = None


def key_table() -> str:
    """The options, a line each, for the help."""
    lines = [
        f"  {f.name + '=':18} {f.metadata['meaning']}; {f.default}" for f in fields(TuneOptions) if f.name != "space"
    ]
    return "\n".join(lines)


def read_command(overrides: Sequence[str], config_dir: Path | None = None) -> Command:
    """The command that `overrides` and the file named by `tune=` make; the command line wins over the file.

    Raises UserError for an unknown file or option, or where nothing is tuned; HydraException for what is no override.
    """
    parser = OverridesParser.create()
    names = {f.name for f in fields(TuneOptions)} - {"space"}
    given: dict[str, Any] = {}
    chosen: str | None = None
    tuned: dict[str, Dimension] = {}
    fixed: list[str] = []
    for written in overrides:
        override = parser.parse_override(written)
        if override.key_or_group == GROUP:
            chosen = str(override.value())
        elif override.key_or_group in names:
            given[override.key_or_group] = override.value()
        elif one := dimension(written):
            tuned[one.key] = one
        else:
            if close := difflib.get_close_matches(override.key_or_group, names, n=1, cutoff=0.8):
                raise UserError(f"{written}: there is no key '{override.key_or_group}'. Did you mean {close[0]}?")
            fixed.append(written)
    options = merged(read_file(chosen, config_dir) if chosen else {}, given)
    said = given_keys(fixed) | set(tuned)
    for name, values in options.space.items():
        if name not in said:
            one = dimension(f"{name}={values}")
            if one is None:
                raise UserError(f"{GROUP}={chosen}: space.{name}={values} is one value. Write there {FORMS}")
            tuned[name] = one
    if not tuned:
        raise UserError(
            f"nothing is tuned. Write values for a key, with {FORMS}, or {GROUP}=NAME, a file of conf/{GROUP}: "
            f"{', '.join(known(config_dir))}"
        )
    return Command(fixed, dict(sorted(tuned.items())), options, config_dir)


def folders(config_dir: Path | None) -> list[Path]:
    """Where files of options are, the user's own first."""
    return [*([config_dir / GROUP] if config_dir else []), conf_dir() / GROUP]


def known(config_dir: Path | None) -> list[str]:
    """What `tune=` may say."""
    return sorted({path.stem for folder in folders(config_dir) for path in folder.glob("*.yaml")})


def read_file(name: str, config_dir: Path | None) -> Any:
    """The content of `tune/<name>.yaml`. Raises UserError where there is none, or it can't be read."""
    for folder in folders(config_dir):
        if (path := folder / f"{name}.yaml").is_file():
            try:
                return OmegaConf.load(path)
            except (OSError, YAMLError) as error:
                raise UserError(f"{path} can't be read: {' '.join(str(error).split())}") from error
    raise UserError(f"{GROUP}={name}: there is no such file in conf/{GROUP}. Known are {', '.join(known(config_dir))}")


def merged(of_file: Any, given: dict[str, Any]) -> TuneOptions:
    """Defaults, file and command line as one. Raises UserError for a key or value that does not fit."""
    try:
        typed = OmegaConf.merge(OmegaConf.structured(TuneOptions), of_file, given)
        options = cast(TuneOptions, OmegaConf.to_object(typed))
    except OmegaConfBaseException as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{first} (key {error.full_key}). Known are:\n{key_table()}") from error
    for option in fields(TuneOptions):
        value, allowed = getattr(options, option.name), option.metadata["allowed"]
        if allowed is not None and not allowed.holds(value):
            words_ = ", ".join(allowed.choices) or allowed.describe(option.name)
            raise UserError(f"{option.name}={value} is not allowed ({option.metadata['meaning']}): {words_}")
    return options


def facts(options: TuneOptions) -> dict[str, Any]:
    """What of the options makes a study another one: all but how long it is."""
    return {name: value for name, value in asdict(options).items() if name not in ("trials", "space")}
