"""Hydra's entry point, and its composition errors put into words that say what to write."""

import dataclasses
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args

from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf

from momentum_exp.config import schema_keys
from momentum_exp.config_key import Allowed
from momentum_exp.errors import UserError
from momentum_exp.training.distributed import current_ranks

FLAGS_WITH_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c"),
    *("--package", "-p", "--info", "-i", "--experimental-rerun"),
)
"""Flags of Hydra's whose value is an argument of its own."""
EXTRAS = {"hydra/launcher=joblib": "joblib", "hydra/launcher=submitit_slurm": "slurm"}
"""What Hydra finds once an extra of ours is installed."""

TYPE_WORDS = {float: "a finite number", int: "a whole number", bool: "true or false", str: "a word"}


def conf_dir() -> Path:
    """The folder of YAML files: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def say(message: str) -> None:
    """Print a message to standard error, apart from results; of several processes of a run, once."""
    if current_ranks().speaks:
        print(f"momentum_exp: {message}", file=sys.stderr, flush=True)


def register_resolvers() -> None:
    """Make `${key_table:}` known to the YAML files."""
    OmegaConf.register_new_resolver("key_table", key_table, replace=True)


def explain(name: str) -> str:
    """What the key `name` may hold and an override to write, for the end of an error message."""
    field = dict(schema_keys())[name]
    example = field.metadata["example"]
    written = str(example).lower() if isinstance(example, bool) else example
    return f"{name} ({field.metadata['meaning']}) takes {takes(name, field)}. Write {name}={written}"


def takes(name: str, field: dataclasses.Field[Any]) -> str:
    """What a key may hold, in words: `a number or null, 0 <= mu < 1`."""
    allowed: Allowed = field.metadata["allowed"]
    members = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
    types = ["null" if m is NoneType else TYPE_WORDS.get(m, "a list") for m in members]
    if allowed.choices:
        return f"one of {', '.join(allowed.choices)}" + (" or null" if "null" in types else "")
    limits = f", {allowed.describe(name.rsplit('.', 1)[-1])}" if allowed != Allowed() else ""
    return " or ".join(types) + limits


def reject_unknown_keys(composed: DictConfig) -> None:
    """Raise UserError for a key that the schema lacks; Hydra lets `+key=value` add one."""
    known = set(dict(schema_keys()))
    groups = {name.split(".")[0] for name in known}
    for group, node in composed.items_ex(resolve=False):
        names = [f"{group!s}.{name!s}" for name in node] if isinstance(node, DictConfig) else [str(group)]
        for name in names:
            if name not in known and (group not in groups or "." in name):
                raise UserError(unknown_key(name, name))


def explain_composition_error(error: Exception, arguments: list[str]) -> str:
    """Hydra's or OmegaConf's complaint about a command as one message.

    Names the override, what is allowed there, and what to write; falls back to Hydra's own words.
    """
    text, cause = str(error), str(error.__cause__ or "")
    if isinstance(error, OverrideParseException) and error.override not in text:
        text = f"{error.override}: {text}"
    if missing := re.search(
        r"Could not find '([^']+)'.*?Available options in '([^']+)':(.*?)Config search", text, re.S
    ):
        config, group, known = missing.groups()
        option, names = config.removeprefix(f"{group}/"), known.split()
        if extra := EXTRAS.get(f"{group}={option}"):
            return f"{group}={option} comes with an extra that is not installed: pip install 'momentum-exp[{extra}]'"
        nearest = difflib.get_close_matches(option, names, n=1, cutoff=0.0)[0]
        return f"{group}={option}: there is no such {group}. Known are {', '.join(names)}. Write {group}={nearest}"
    if unknown := re.search(r"Could not override '([^']+)'", text):
        name = unknown.group(1)
        return explain_override(name, written_as(name, arguments), cause)
    if wrong := re.search(r"full_key: (\S+)", f"{text}\n{cause}"):
        name = wrong.group(1)
        return explain_override(name, written_as(name, arguments), cause or text)
    sentences = (line.strip() for line in text.splitlines() if line.strip() and "hydra.cc" not in line)
    return f"{' '.join(sentences)}. Overrides are written group=option or key=value, for example cell=lstm seed=1"


def overrides_first(arguments: Sequence[str]) -> list[str]:
    """The same arguments with all overrides before all flags: Hydra's parser takes overrides in one piece only."""
    overrides: list[str] = []
    flags: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        (flags if argument.startswith("-") or before in FLAGS_WITH_VALUE else overrides).append(argument)
    return [*overrides, *flags]


def given_keys(overrides: Iterable[str]) -> set[str]:
    """The keys that the user's overrides set."""
    return {key_of(override) for override in overrides}


def key_of(override: str) -> str:
    """`cell.mu` of `cell.mu=0.6` and of `+cell.mu=0.6`."""
    return override.partition("=")[0].lstrip("+~")


def written_as(name: str, arguments: list[str]) -> str:
    """The argument that overrides `name`, as the user wrote it."""
    return next((argument for argument in arguments if key_of(argument) == name), name)


def explain_override(name: str, written: str, cause: str) -> str:
    """The message for an override of `name` that does not fit the schema."""
    if name in dict(schema_keys()):
        complaint = cause.splitlines()[0] if cause else "the value does not fit"
        return f"{written}: {complaint}. {explain(name)}"
    return unknown_key(name, written)


def unknown_key(name: str, written: str) -> str:
    """The message for a key that the schema lacks, with the nearest one that it has."""
    keys = dict(schema_keys())
    groups = {key.split(".")[0] for key in keys if "." in key}
    same_last = [key for key in keys if key.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    suggestion = ""
    if "." not in name and (close := difflib.get_close_matches(name, groups, n=1, cutoff=0.7)):
        suggestion = f" Did you mean {close[0]}={written.partition('=')[2] or 'OPTION'}?"
    elif close := same_last or difflib.get_close_matches(name, keys, n=1, cutoff=0.6):
        suggestion = f" Did you mean {close[0]}? {explain(close[0])}."
    siblings = [k for k in keys if k.startswith(f"{name.split('.')[0]}.")] or [k.split(".")[0] for k in keys]
    return f"{written}: there is no key '{name}'.{suggestion} Known here: {', '.join(dict.fromkeys(siblings))}"


def key_table() -> str:
    """Every key with what it takes and means, a line each, for `--help`."""
    return "\n".join(f"{name:36} {field.metadata['meaning']}: {takes(name, field)}" for name, field in schema_keys())
