"""The command that makes a run again."""

from omegaconf import OmegaConf

from momentum_exp.paper.run_record import RunRecord

OF_ONE_MACHINE = ("paths.", "data.root=", "data.url=", "hydra")
"""Overrides that say where something lies or how it is launched on one machine; they change no result."""


def run_command(run: RunRecord) -> str:
    """What its overrides say, without folders of the machine that made it."""
    file = run.path / ".hydra" / "overrides.yaml"
    overrides = list(map(str, OmegaConf.load(file))) if file.exists() else []
    return " ".join(["python -m momentum_exp", *(part for part in overrides if not part.startswith(OF_ONE_MACHINE))])
