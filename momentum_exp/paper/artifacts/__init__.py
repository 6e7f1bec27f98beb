"""What `python -m momentum_exp.paper NAME` makes: one module a kind, all with the functions of `Kind`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from momentum_exp.errors import UserError
from momentum_exp.paper.artifacts import claims, figures, report, tables
from momentum_exp.paper.report.page import CHECKLIST
from momentum_exp.paper.study import Planned, unknown

EVERYTHING = "paper"
OWN_TABLE = ".yaml"


class Kind(Protocol):
    """A kind of artifact: which there are, which runs one needs, and how it is made of those that have finished."""

    def names(self) -> list[str]:
        """The artifacts of this kind, in the order in which they are made."""

    def needs(self, name: str, scale: str, seeds: Sequence[int]) -> list[Planned]:
        """The runs that artifact `name` is made of; none where it needs none or none exist at `scale`."""

    def render(self, name: str, scale: str, seeds: Sequence[int], runs: Path, out: Path) -> list[Path]:
        """Write the artifact of the finished runs in `runs` into folder `out`; the files written.

        Runs that are missing leave gaps, which are said. Raises UserError for runs that can't be used.
        """


KINDS: tuple[Kind, ...] = (tables, figures, claims, report)
"""In the order in which they are made: what reads the files of others comes after them."""


class Artifact(NamedTuple):
    """One thing to make: its name and its kind."""

    name: str
    kind: Kind


def artifact_names() -> list[str]:
    """All artifacts there are, `paper` apart."""
    return [name for kind in KINDS for name in kind.names()]


def resolve(names: Iterable[str]) -> list[Artifact]:
    """The artifacts of these names, each once, in the order of KINDS; `paper` stands for all of them.

    The path of a YAML file is a table of the user's own, which is written under the file's name. Raises UserError for
    an unknown name, or a file of the user's that has the name of what is here or of another.
    """
    known, wanted = artifact_names(), dict.fromkeys(names)
    own = [name for name in wanted if name.endswith(OWN_TABLE)]
    for name in wanted:
        if name not in (*known, *own, EVERYTHING):
            raise UserError(unknown("table, figure or report", name, [*known, EVERYTHING]))
    files: dict[str, str] = {}
    for name in own:
        if files.setdefault(Path(name).stem, name) != name:
            raise UserError(f"{name}: its files would replace those of {files[Path(name).stem]}. Give one another name")
        if Path(name).stem in (*known, CHECKLIST):
            raise UserError(
                f"{name}: its files would replace those of {Path(name).stem}, which the project makes. Give the file a "
                f"name of its own: write my_{Path(name).name}"
            )
    listed = [Artifact(name, kind) for kind in KINDS for name in kind.names()]
    chosen = [artifact for artifact in listed if artifact.name in wanted or EVERYTHING in wanted]
    return [Artifact(name, tables) for name in own] + chosen
