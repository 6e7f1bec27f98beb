"""Hydra's entry point, and its composition errors put into words that say what to write."""

import atexit
import dataclasses
import difflib
import functools
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf

from momentum_exp.config import Allowed, Config

COMPOSED_GROUPS = ("experiment",)


def conf_dir() -> Path:
    """The folder of YAML files: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@functools.cache
def scratch_dir() -> str:
    """A folder for what Hydra insists on writing about a sweep; removed at exit."""
    folder = tempfile.mkdtemp(prefix="momentum_exp-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def register_resolvers() -> None:
    """Make `${scratch:}` known to the YAML files."""
    OmegaConf.register_new_resolver("scratch", scratch_dir, replace=True)


def schema_keys(node: type = Config, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Every key of the schema with its full dotted name, groups opened."""
    for field in dataclasses.fields(node):
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(field.type):
            yield from schema_keys(field.type, f"{name}.")  # type: ignore[arg-type]
        else:
            yield name, field


def explain(name: str) -> str:
    """What the key `name` may hold and an override to write, for the end of an error message."""
    field = dict(schema_keys())[name]
    allowed: Allowed = field.metadata["allowed"]
    last = name.rsplit(".", 1)[-1]
    type_words = getattr(field.type, "__name__", None) or str(field.type)
    limits = f", {allowed.describe(last)}" if allowed != Allowed() else ""
    example = field.metadata["example"]
    if isinstance(example, bool):
        example = str(example).lower()
    return f"{name} ({field.metadata['meaning']}) takes {type_words}{limits}. Write for example: {name}={example}"


def explain_composition_error(error: Exception, arguments: list[str]) -> str:
    """Hydra's or OmegaConf's complaint about a command as one message.

    Names the override, what is allowed there, and what to write; falls back to Hydra's own words.
    """
    text = str(error)
    cause = str(error.__cause__) if error.__cause__ else ""
    if unknown := re.search(r"Could not override '([^']+)'", text):
        return explain_override(unknown.group(1), cause, arguments)
    if wrong := re.search(r"full_key: (\S+)", f"{text}\n{cause}"):
        return explain_override(wrong.group(1), cause or text, arguments)
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def explain_override(name: str, cause: str, arguments: list[str]) -> str:
    """The message for an override of `name` that does not fit the schema."""
    written = next((a for a in arguments if a.lstrip("+~").split("=")[0] == name), name)
    keys = dict(schema_keys())
    if name in keys:
        first_line = cause.splitlines()[0] if cause else "the value does not fit"
        return f"{written}: {first_line}. {explain(name)}"
    close = difflib.get_close_matches(name, keys, n=1, cutoff=0.6)
    group = name.split(".")[0]
    siblings = [k for k in keys if k.startswith(f"{group}.")] or [k.split(".")[0] for k in keys]
    known = ", ".join(dict.fromkeys(siblings))
    suggestion = f" Did you mean {close[0]}? {explain(close[0])}." if close else ""
    return f"{written}: there is no key '{name}'.{suggestion} Known here: {known}"


COMPOSITION_ERRORS = (HydraException,)
