"""Which run a configuration is: a hash of everything that can change its result, and a name to read."""

import dataclasses
import hashlib
import json
from typing import Any

from momentum_exp.config import RESULT_GROUPS, Config


@dataclasses.dataclass(frozen=True)
class Identity:
    """`hash` names the run, `group` the runs that differ in the seed alone; `name`, `cell`, `data` are to read."""

    hash: str
    group: str
    name: str
    cell: str
    data: str

    @property
    def folder(self) -> str:
        """The name of the run's folder."""
        return f"{self.name}-{self.hash}"


def identity(config: Config) -> Identity:
    """The identity of a validated configuration.

    Left out are keys that cannot change the result (`result=False` in the schema: paths, device, threads, how
    often is logged) and null keys, so that a key added later leaves older runs their identity.
    """
    content: dict[str, Any] = {}
    for group in RESULT_GROUPS:
        node = getattr(config, group)
        for field in dataclasses.fields(node):
            value = getattr(node, field.name)
            if field.metadata["result"] and value is not None:
                content[f"{group}.{field.name}"] = value
    data = f"{'p' if config.data.permutation is not None else ''}{config.data.name}"
    cell = cell_name(config)
    group_hash = digest(content)
    return Identity(
        hash=digest(content | {"seed": config.seed}),
        group=group_hash,
        name=f"{data}-{cell}-n{config.cell.hidden_size}-seed{config.seed}",
        cell=cell,
        data=data,
    )


def digest(content: dict[str, Any]) -> str:
    """Ten hexadecimal digits of the content's SHA-256, independent of the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


def cell_name(config: Config) -> str:
    """The paper's name for the pair: dynamics before recurrence, `sr` for Nesterov with restart."""
    dynamics = config.cell.dynamics
    if dynamics == "identity":
        return config.cell.recurrence
    if dynamics == "nesterov" and config.cell.restart:
        dynamics = "sr"
    return dynamics + config.cell.recurrence
