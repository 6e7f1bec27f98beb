"""The command that makes a run again."""

import shlex

from omegaconf import OmegaConf

from momentum_exp.summary.provenance import UNKNOWN
from momentum_exp.tracking.run_record import RunRecord

LEFT_OUT = ("paths.", "data.root=", "data.url=", "hydra", "force=", "retry=")
"""Overrides that say where something lies, how it is launched or whether a run is replaced; they change no result."""


def run_command(run: RunRecord) -> str:
    """What its overrides say, without folders of the machine that made it, as a shell reads it.

    `not known` where they are not there.
    """
    file = run.path / ".hydra" / "overrides.yaml"
    if not file.is_file():
        return UNKNOWN
    overrides = list(map(str, OmegaConf.load(file)))
    return shlex.join(["python", "-m", "momentum_exp", *(part for part in overrides if not part.startswith(LEFT_OUT))])
