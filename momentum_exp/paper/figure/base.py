"""What every figure of the paper is: what it needs, what it draws, what its caption says."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from momentum_exp.errors import UserError
from momentum_exp.paper.gather import gather
from momentum_exp.paper.progress import Progress, progress
from momentum_exp.paper.study import Planned, Study, written_seeds
from momentum_exp.tracking.run_record import RunRecord


@dataclass(frozen=True)
class Found:
    """Arms of one study at one scale: what was planned, of each arm the runs that have finished, and the others."""

    study: Study
    scale: str
    planned: Sequence[Planned]
    runs: dict[str, list[RunRecord]]
    unfinished: Sequence[Progress]

    @property
    def any(self) -> bool:
        """Whether there is a finished run."""
        return any(self.runs.values())

    @property
    def heading(self) -> str:
        """The title of what is run and, below the paper's scale, how it differs from the paper."""
        says, title = self.study.scales[self.scale].says, self.study.title_at(self.scale)
        return title if self.scale == "full" else f"{title}. {self.scale.upper()} SCALE: {says}"

    def label(self, arm: str) -> str:
        """What a legend calls an arm, with its number of seeds."""
        return f"{self.study.arms[arm].label} ({f'n = {len(self.runs[arm])}' if self.runs[arm] else 'no run yet'})"

    def cell(self, arm: str) -> tuple[str, str]:
        """Name and dynamics of an arm's cell, which need no run."""
        planned = next(run for run in self.planned if run.arm == arm)
        return planned.identity.cell, planned.config.cell.dynamics


@dataclass
class Drawing:
    """Pictures by the ending of their names ("" or "_log"), what they are drawn of, and what must be said of them."""

    pictures: dict[str, Figure]
    found: Sequence[Found] = ()
    says: list[str] = field(default_factory=list)


@dataclass
class PaperFigure(ABC):
    """The content of a `conf/figure/<name>.yaml`; `draws` names the way of drawing, `notes` go into the caption."""

    title: str
    draws: str
    notes: list[str] = field(default_factory=list)

    @abstractmethod
    def needs(self, scale: str, seeds: Sequence[int]) -> list[Planned]:
        """The runs that it is drawn of."""

    @abstractmethod
    def draw(self, name: str, scale: str, seeds: Sequence[int], runs: Path) -> Drawing:
        """Draw it of the finished runs in folder `runs`.

        Raises UserError where it has nothing to draw, or a run is damaged.
        """


def find(study: Study, planned: Sequence[Planned], scale: str, runs: Path) -> Found:
    """The finished runs, in the folder `runs`, of what was planned."""
    unfinished = [run for run in progress(planned, runs) if run.state != "done"]
    return Found(study, scale, planned, gather(planned, runs), unfinished)


def absent(scale: str) -> Drawing:
    """What there is of a figure none of whose studies exists at `scale`: a caption that says so."""
    return Drawing({}, says=[f"Not drawn: its studies do not exist at scale {scale}. SCALE=full has all of it."])


def require_some(name: str, scale: str, found: Sequence[Found], runs: Path) -> None:
    """Raise UserError unless there is a finished run."""
    planned = [run for part in found for run in part.planned]
    if not any(part.any for part in found):
        seeds = written_seeds(list(dict.fromkeys(run.seed for run in planned)))
        raise UserError(
            f"{name} at scale {scale} has nothing to draw: none of its {len(planned)} runs is finished in {runs}. "
            f"Write python -m momentum_exp.paper {name} --scale {scale} --seeds {seeds} --runs {runs}, or for one run "
            f"{planned[0].command} paths.runs={runs}"
        )
