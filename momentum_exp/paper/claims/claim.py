"""A claim of the paper and the tests that runs can put it to: the content of `conf/claim/<name>.yaml`."""

from dataclasses import dataclass, field, replace
from functools import cache

from momentum_exp.command_line import conf_dir
from momentum_exp.errors import UserError
from momentum_exp.paper.claims.measures import MEASURES
from momentum_exp.paper.study import load_study, load_typed, unknown

DIRECTIONS = ("higher", "lower")


@dataclass
class ClaimTest:
    """Two arms of a study, the same seeds in both, compared by one measure.

    supports: whether a `higher` or a `lower` value in `arm` than in `against` supports the claim.
    baseline: where `against` is a control, the arm that both are compared with: what share of the gain over it has the
    control?
    """

    study: str
    arm: str
    against: str
    measure: str
    supports: str
    baseline: str | None = None

    @property
    def arms(self) -> list[str]:
        return [name for name in (self.arm, self.against, self.baseline) if name]

    def exists_at(self, scale: str) -> bool:
        """Whether the study has all its arms at `scale`."""
        return set(self.arms) <= set(load_study(self.study).at(scale))

    def __str__(self) -> str:
        return f"{self.study}: {self.arm} against {self.against}, {self.measure}"


@dataclass
class Count:
    """Lines of code that a method has and another, of the same file, has not; `at_most` so many support the claim."""

    what: str
    file: str
    method: str
    beside: str
    at_most: int


@dataclass
class Claim:
    """One claim. `says`: the paper's statement, in our words; `source`: where in the paper; `untested`: what is not
    tested by runs, why, and what it would take; `notes`: what else a reader has to know."""

    title: str
    says: str
    source: str
    tests: list[ClaimTest] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    name: str = ""


@cache
def load_claims() -> tuple[Claim, ...]:
    """All claims, in the order of their files' names. Raises UserError where one names what is not there."""
    files = sorted((conf_dir() / "claim").glob("*.yaml"))
    claims = tuple(replace(load_typed(file, Claim), name=file.stem) for file in files)
    for claim in claims:
        for test in claim.tests:
            check(test, claim.name)
    return claims


def check(test: ClaimTest, claim: str) -> None:
    """Raise UserError unless study, arms, measure and direction exist."""
    arms, where = list(load_study(test.study).arms), f" (conf/claim/{claim}.yaml, {test})"
    for name in test.arms:
        if name not in arms:
            raise UserError(unknown(f"arm of study {test.study}", name, arms) + where)
    if test.measure not in MEASURES:
        raise UserError(unknown("measure", test.measure, list(MEASURES)) + where)
    if test.supports not in DIRECTIONS:
        raise UserError(unknown("direction", test.supports, DIRECTIONS) + where)
