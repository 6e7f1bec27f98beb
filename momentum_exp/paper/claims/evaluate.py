"""Claims put to the runs that there are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from momentum_exp.paper.claims.claim import Claim, ClaimTest
from momentum_exp.paper.claims.count import Counted, count
from momentum_exp.paper.claims.measures import MEASURES, Measured
from momentum_exp.paper.claims.paired import Interval, Paired, fraction, holm, paired
from momentum_exp.paper.claims.verdict import (
    FEWEST_PAIRS,
    NOT_JUDGED,
    NOT_TESTABLE,
    judge_claim,
    judge_test,
)
from momentum_exp.paper.gather import ENDED, gather
from momentum_exp.paper.study import Planned, load_study, plan
from momentum_exp.tracking.run_record import RunRecord

Runs = Mapping[tuple[str, str], Sequence[RunRecord]]
"""The runs of each (study, arm)."""


@dataclass(frozen=True)
class Comparison:
    """A test with what was measured for it.

    title: the measure in a few words. words: what was measured exactly; empty where there was nothing to measure.
    too_coarse: whether the measure has too few possible values to be judged. pairs: arm and against, by seed.
    unmeasured: runs that lack what the measure needs. effect: of the differences arm - against. explained: the
    control's share of the gain over the baseline.
    """

    test: ClaimTest
    title: str
    words: str
    log: bool
    too_coarse: bool
    pairs: Sequence[tuple[Measured, Measured]]
    unmeasured: Sequence[RunRecord]
    effect: Paired | None
    explained: tuple[float, Interval | None] | None


@dataclass(frozen=True)
class Judged:
    """A comparison with its p value among all others, and the verdict."""

    comparison: Comparison
    adjusted_p: float | None
    verdict: str


@dataclass(frozen=True)
class ClaimResult:
    """A claim with the results of the tests that exist at the scale, its counts and its verdict."""

    claim: Claim
    tests: Sequence[Judged]
    counts: Sequence[Counted]
    verdict: str

    @property
    def enough(self) -> int:
        """How many of the tests have enough pairs for a verdict."""
        return sum(len(test.comparison.pairs) >= FEWEST_PAIRS for test in self.tests)


def planned_runs(claims: Iterable[Claim], scale: str, seeds: Sequence[int]) -> list[Planned]:
    """The runs that the claims' tests compare, each once, studies in their order of mention."""
    arms: dict[str, dict[str, None]] = {}
    for claim in claims:
        for test in claim.tests:
            if test.exists_at(scale):
                arms.setdefault(test.study, {}).update(dict.fromkeys(test.arms))
    return [run for name, wanted in arms.items() for run in plan(load_study(name), scale, seeds, list(wanted))]


def gathered(planned: Sequence[Planned], runs: Path) -> Runs:
    """The runs in folder `runs` that finished or diverged. Raises UserError for one that is damaged."""
    studies = dict.fromkeys(run.study for run in planned)
    return {
        (study, arm): records
        for study in studies
        for arm, records in gather([run for run in planned if run.study == study], runs, ENDED).items()
    }


def evaluate(claims: Sequence[Claim], scale: str, runs: Runs) -> list[ClaimResult]:
    """Every claim by the rules of verdict.py. Holm's family: all tests with enough pairs."""
    comparisons = {
        (place, number): compare(test, runs)
        for place, claim in enumerate(claims)
        for number, test in enumerate(claim.tests)
        if test.exists_at(scale)
    }
    family = {
        key: made.effect.p
        for key, made in comparisons.items()
        if made.effect and made.effect.n >= FEWEST_PAIRS and made.effect.p is not None and not made.too_coarse
    }
    adjusted = dict(zip(family, holm(list(family.values())), strict=True))
    results = []
    for place, claim in enumerate(claims):
        keys = [key for key in comparisons if key[0] == place]
        tests = [judged(comparisons[key], adjusted.get(key), scale) for key in keys]
        counts = [count(wanted) for wanted in claim.counts]
        verdicts = [result.verdict for result in tests] + [counted.verdict for counted in counts]
        verdict = judge_claim(verdicts) if claim.tests or claim.counts else NOT_TESTABLE
        results.append(ClaimResult(claim, tests, counts, verdict))
    return results


def judged(comparison: Comparison, adjusted_p: float | None, scale: str) -> Judged:
    """The comparison with its verdict.

    None at scale smoke, which shows only that everything runs, or of a measure with too few possible values.
    """
    verdict = judge_test(comparison.effect, adjusted_p, comparison.test.supports)
    return Judged(comparison, adjusted_p, NOT_JUDGED if scale == "smoke" or comparison.too_coarse else verdict)


def compare(test: ClaimTest, runs: Runs) -> Comparison:
    """Measure the seeds that both arms have."""
    arms = {arm: {run.seed: run for run in runs.get((test.study, arm), ())} for arm in test.arms}
    seeds = sorted(set(arms[test.arm]) & set(arms[test.against]))
    members = [run for by_seed in arms.values() for seed, run in by_seed.items() if seed in seeds]
    kind = MEASURES[test.measure]
    if not seeds:
        return Comparison(test, kind.what, "", kind.log, False, [], [], None, None)
    measure = kind(members, [arms[test.against][seed] for seed in seeds])
    values = {id(run): value for run, value in zip(members, measure.all(members), strict=True)}

    def measured(arm: str, seed: int) -> Measured | None:
        return values.get(id(arms[arm].get(seed)))

    of_arm, of_other = ({seed: measured(arm, seed) for seed in seeds} for arm in (test.arm, test.against))
    pairs = [(a, b) for seed in seeds if (a := of_arm[seed]) and (b := of_other[seed])]
    explained = None
    if test.baseline:
        base = {seed: value for seed in seeds if (value := measured(test.baseline, seed))}
        shared = [(a.value, b.value, base[a.run.seed].value) for a, b in pairs if a.run.seed in base]
        if shared:
            explained = fraction([b - z for _, b, z in shared], [a - z for a, _, z in shared])
    return Comparison(
        test,
        measure.title,
        measure.words,
        measure.log,
        measure.too_coarse,
        pairs,
        [run for run in members if values[id(run)] is None],
        paired([a.value - b.value for a, b in pairs]) if pairs else None,
        explained,
    )
