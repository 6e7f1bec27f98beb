"""A study: cells compared on one task under one protocol, at the paper's scale and at scales that fit a CPU.

Tables, figures and claims name arms of studies; what is run is said here alone (`conf/study`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from momentum_exp.command_line import conf_dir, explain
from momentum_exp.config import Config, schema_keys
from momentum_exp.errors import UserError
from momentum_exp.runs.compose import compose_config
from momentum_exp.runs.identity import Identity, identity

MOST_SEEDS = 1000
SCALES = ("full", "reduced", "smoke")
"""`full` is the paper's; `reduced` fits a CPU; `smoke` takes seconds and shows only that everything runs."""


@dataclass
class Scale:
    """What every arm is run with at one scale, and how that differs from the paper (nothing at full scale).

    title: instead of the study's, where the data are others. minutes: of a run, measured (median over arms, one thread
    of a CPU that did other work, too), for plans before any run is done.
    """

    overrides: list[str] = field(default_factory=list)
    says: str = ""
    title: str = ""
    minutes: float | None = None


@dataclass
class Arm:
    """One cell with its settings: what a legend calls it, its overrides, and the scales at which it exists."""

    label: str
    overrides: list[str]
    scales: list[str] = field(default_factory=lambda: list(SCALES))


@dataclass
class Grid:
    """Arms for all combinations of `values` of some keys, each with `overrides` before: `mu0.3_s0.6` and so on."""

    overrides: list[str] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)

    def arms(self) -> dict[str, Arm]:
        """The arms by name, the last key's values innermost; none where no key is given."""
        names = [key.rpartition(".")[2] for key in self.values]
        made = {}
        for point in product(*self.values.values()) if self.values else ():
            name = "_".join(f"{name}{value}" for name, value in zip(names, point, strict=True))
            label = ", ".join(f"{name} = {value}" for name, value in zip(names, point, strict=True))
            chosen = [f"{key}={value}" for key, value in zip(self.values, point, strict=True)]
            made[name] = Arm(label, [*self.overrides, *chosen])
        return made


@dataclass
class Study:
    """The content of `conf/study/<name>.yaml`: arms one by one, and those of a grid."""

    title: str
    scales: dict[str, Scale]
    arms: dict[str, Arm] = field(default_factory=dict)
    grid: Grid = field(default_factory=Grid)
    name: str = ""

    def title_at(self, scale: str) -> str:
        """What is run at `scale`."""
        return (self.scales[scale].title if scale in self.scales else "") or self.title

    def at(self, scale: str) -> Mapping[str, Arm]:
        """The arms that exist at `scale`, by name; none where the study has no such scale."""
        return {name: arm for name, arm in self.arms.items() if scale in arm.scales and scale in self.scales}


@dataclass(frozen=True)
class Planned:
    """A run that a study asks for: one arm at one scale with one seed. `config` is validated."""

    study: str
    arm: str
    scale: str
    overrides: tuple[str, ...]
    config: Config
    identity: Identity

    @property
    def seed(self) -> int:
        return self.config.seed

    def folder(self, runs: Path) -> Path:
        """Where the run lies, or will lie, in the folder of all runs."""
        return runs / self.identity.folder

    @property
    def command(self) -> str:
        """What makes the run by hand."""
        return f"python -m momentum_exp {' '.join(self.overrides)} seed={self.seed}"


def study_names() -> list[str]:
    """All studies there are."""
    return sorted(file.stem for file in (conf_dir() / "study").glob("*.yaml"))


@cache
def load_study(name: str) -> Study:
    """The study `name`. Raises UserError where there is none, or its file is not one."""
    if name not in study_names():
        raise UserError(unknown("study", name, study_names()))
    study: Study = load_typed(conf_dir() / "study" / f"{name}.yaml", Study)
    study = replace(study, name=name, arms={**study.arms, **study.grid.arms()})
    for scale in [*study.scales, *(scale for arm in study.arms.values() for scale in arm.scales)]:
        check_scale(scale)
    labels: dict[str, str] = {}
    for arm, what in study.arms.items():
        if labels.setdefault(what.label, arm) != arm:
            raise UserError(
                f"study {name}: arms {labels[what.label]} and {arm} have one label, {what.label}; "
                f"mend conf/study/{name}.yaml"
            )
    return study


def plan(study: Study, scale: str, seeds: Sequence[int], arms: Sequence[str] | None = None) -> list[Planned]:
    """The runs of a study at one scale, seeds innermost; of all arms that exist there, or those named that do.

    Composes every arm once (about 0.2 s). Raises UserError for an unknown scale or arm, a seed that no run takes, or
    where two arms have the same configuration: they would be one run under two labels, or one cell: momentum with
    mu = 0 and s = 1 is none.
    """
    check_scale(scale)
    allowed = dict(schema_keys())["seed"].metadata["allowed"]
    if wrong := [seed for seed in seeds if not allowed.holds(seed)]:
        raise UserError(f"SEEDS: seed={wrong[0]} is not allowed. {explain('seed')}")
    there = study.at(scale)
    for name in arms or ():
        if name not in study.arms:
            raise UserError(unknown(f"arm of study {study.name}", name, list(study.arms)))
    planned: list[Planned] = []
    groups: dict[str, str] = {}
    for name in [name for name in there if arms is None or name in arms]:
        overrides = (*study.scales[scale].overrides, *there[name].overrides)
        config = _composed(overrides)
        same = groups.setdefault(identity(_plain(config)).group, name)
        if same != name:
            raise UserError(
                f"study {study.name} at scale {scale}: arms {same} and {name} are one configuration under two labels; "
                f"mend conf/study/{study.name}.yaml"
            )
        for seed in seeds:
            seeded = replace(config, seed=seed)
            planned.append(Planned(study.name, name, scale, overrides, seeded, identity(seeded)))
    return planned


def parse_seeds(text: str) -> list[int]:
    """`5` are the seeds 0 to 4, `0,2,3` those three, `7,` is seed 7. Raises UserError for anything else."""
    parts = text.removesuffix(",").split(",")
    numbers = [int(part) for part in parts if part.isascii() and part.isdecimal()]
    if "," not in text and numbers and 1 <= numbers[0] <= MOST_SEEDS:
        return list(range(numbers[0]))
    if "," not in text or len(set(numbers)) < len(parts):
        raise UserError(
            f"SEEDS={text}: takes how many seeds, from 0 on (at most {MOST_SEEDS}), or different seeds separated by "
            "commas. Write SEEDS=5, SEEDS=0,2,3 or, for one, SEEDS=7,"
        )
    return numbers


def written_seeds(seeds: Sequence[int]) -> str:
    """Seeds as `parse_seeds` reads them."""
    first = list(seeds) == list(range(len(seeds)))
    return str(len(seeds)) if first else ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")


def check_scale(scale: str) -> None:
    """Raise UserError unless `scale` is one of SCALES."""
    if scale not in SCALES:
        raise UserError(f"SCALE={scale}: takes {', '.join(SCALES)}. Write SCALE=reduced")


def load_typed(path: Path, schema: type[Any]) -> Any:
    """The YAML file `path` as an instance of the dataclass `schema`. Raises UserError where it is not one."""
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.load(path)))
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path} can't be read: {' '.join(str(error).split())}") from error


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """The message for a name that is not there, with the nearest that is."""
    nearest = get_close_matches(name, known, n=1, cutoff=0.0)
    return f"{name}: there is no such {kind}. Known are {', '.join(known)}. Write {nearest[0] if nearest else '--'}"


def _plain(config: Config) -> Config:
    """The configuration, with momentum that does nothing left out."""
    cell = config.cell
    idle = cell.dynamics == "momentum" and cell.mu == 0 and cell.s == 1 and not cell.learn
    return replace(config, cell=replace(cell, dynamics="identity", mu=None, s=None)) if idle else config


@cache
def _composed(overrides: tuple[str, ...]) -> Config:
    return compose_config(overrides)
