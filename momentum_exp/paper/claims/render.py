"""Verdicts as Markdown: the table first, then every test with its numbers and runs."""

from collections.abc import Callable, Iterable, Sequence

from momentum_exp.paper.claims.claim import ClaimTest
from momentum_exp.paper.claims.evaluate import ClaimResult, Comparison, Judged
from momentum_exp.paper.claims.measures import Measured
from momentum_exp.paper.claims.paired import Interval
from momentum_exp.paper.claims.verdict import (
    CONTRADICTED,
    NOT_SHOWN,
    RULES,
    SUPPORTED,
)
from momentum_exp.paper.study import load_study
from momentum_exp.summary.provenance import provenance
from momentum_exp.tracking.run_record import RunRecord

GAP = "--"
DECIDED = (SUPPORTED, CONTRADICTED, NOT_SHOWN)


def markdown(results: Sequence[ClaimResult], scale: str, seeds: Sequence[int]) -> str:
    """The whole page."""
    runs = used(results)
    return "\n".join(
        [
            f"# Claims of the paper at {scale} scale\n",
            f"Seeds {', '.join(map(str, seeds))}. {len(runs)} runs were compared; "
            f"Holm's correction is over {sum(test.adjusted_p is not None for each in results for test in each.tests)} "
            "tests.\n",
            *rows(
                ["claim", "verdict", "tests with enough runs", "effect in the one with most runs [95% CI]", "n"],
                (row(result, scale) for result in results),
            ),
            f"\n{scope(results, scale)}",
            *(f"- {line}" for line in provenance(runs)),
            "",
            *(details(result, scale) for result in results),
            f"## Rules\n\n{RULES}",
        ]
    )


def row(result: ClaimResult, scale: str) -> list[str]:
    """The line of one claim in the first table."""
    best = max((test.comparison for test in result.tests), key=lambda made: len(made.pairs), default=None)
    shown = f"{best.test.study}: {difference(best)}, {best.title}: {effect(best)}" if best and best.effect else GAP
    return [
        f"[{result.claim.title}](#{anchor(result.claim.title)})",
        said(result, scale),
        f"{result.enough} of {len(result.tests)}" if result.tests else GAP,
        shown,
        str(len(best.pairs)) if best else GAP,
    ]


def said(result: ClaimResult, scale: str) -> str:
    """The verdict with what it holds for: a scale, and the studies of the tests that decided it.

    Where tests on one study disagree, it stands with what tells them apart.
    """
    tests = [(test.verdict, test.comparison.test) for test in result.tests if test.verdict in DECIDED]
    if not tests:
        return f"**{result.verdict}**{' at any scale' if result.counts else ''}"
    named: dict[str, dict[str, None]] = {}
    for study in dict.fromkeys(test.study for _, test in tests):
        for verdict, name in shortest_names([(v, test) for v, test in tests if test.study == study]):
            named.setdefault(verdict, {})[name] = None
    parts = [
        ", ".join(names) if verdict == result.verdict else f"{verdict}: {', '.join(names)}"
        for verdict, names in named.items()
    ]
    return f"**{result.verdict}** at {scale} scale ({'; '.join(parts)})"


def shortest_names(tests: Sequence[tuple[str, ClaimTest]]) -> list[tuple[str, str]]:
    """Verdicts with names of the tests of one study, as short as tells those of different verdicts apart."""
    ways: list[Callable[[ClaimTest], str]] = [
        lambda test: test.study,
        lambda test: f"{test.study} {test.arm}",
        lambda test: f"{test.study} {test.arm} - {test.against}",
        lambda test: f"{test.study} {test.arm} - {test.against} by {test.measure}",
    ]
    named = [list(dict.fromkeys((verdict, way(test)) for verdict, test in tests)) for way in ways]
    return next((names for names in named if len({name for _, name in names}) == len(names)), named[-1])


def scope(results: Sequence[ClaimResult], scale: str) -> str:
    """What the studies are at this scale."""
    studies = sorted({test.comparison.test.study for result in results for test in result.tests})
    lines = [
        f"- `{name}`: {study.title_at(scale)}, {study.scales[scale].says or 'as in the paper'}"
        for name in studies
        for study in [load_study(name)]
    ]
    return f"Verdicts hold at {scale} scale, which is:\n\n" + "\n".join(lines) + "\n\nThe runs:\n" if lines else ""


def used(results: Sequence[ClaimResult]) -> list[RunRecord]:
    """The runs that were compared, each once."""
    runs = {
        measured.run.identity["hash"]: measured.run
        for result in results
        for test in result.tests
        for pair in test.comparison.pairs
        for measured in pair
    }
    return list(runs.values())


def details(result: ClaimResult, scale: str) -> str:
    """The section of one claim."""
    claim = result.claim
    parts = [
        f"## {claim.title}\n",
        f"The paper ({claim.source}): {claim.says}.\n",
        f"Verdict: {said(result, scale)}.\n",
        *(f"- {note}" for note in claim.notes),
        *(f"- Not tested: {text}" for text in claim.untested),
        *(
            f"- **{counted.verdict}** at any scale: {counted.count.what} has {len(counted.lines)} lines of its own "
            f"(`{counted.count.file}`, `{counted.count.method}` without the lines of `{counted.count.beside}`; "
            f"{counted.count.at_most} at most)"
            for counted in result.counts
        ),
        "",
    ]
    measured = [test for test in result.tests if test.comparison.words]
    if measured:
        controlled = any(test.comparison.test.baseline for test in measured)
        columns = [*TEST_COLUMNS, CONTROL_COLUMN] if controlled else TEST_COLUMNS
        body = ([*test_row(test), *([share(test.comparison)] if controlled else [])] for test in measured)
        parts += [*rows(columns, body), "", *map(fine_print, measured)]
    if missing := [test.comparison.test for test in result.tests if not test.comparison.words]:
        parts.append(f"- No pair of runs yet: {'; '.join(map(str, missing))}.")
    return "\n".join([*parts, ""])


TEST_COLUMNS = [
    "study",
    "arm - against",
    "measure",
    "verdict",
    "n",
    "arm",
    "against",
    "difference [95% CI]",
    "p",
    "p, Holm",
    "p, sign flip",
]
CONTROL_COLUMN = "of the arm's difference from the baseline, the control has"


def test_row(result: Judged) -> list[str]:
    """The line of one test."""
    made, test, found = result.comparison, result.comparison.test, result.comparison.effect
    return [
        test.study,
        difference(made),
        f"{made.title} ({test.supports} supports)",
        result.verdict,
        str(len(made.pairs)),
        *(mean([pair[side] for pair in made.pairs]) for side in (0, 1)),
        effect(made),
        probability(found.p if found else None),
        probability(result.adjusted_p),
        probability(found.p_sign_flip if found else None),
    ]


def fine_print(result: Judged) -> str:
    """What exactly was measured, of which runs, and what stands out."""
    made = result.comparison
    notes = [
        f"{'arm' if side == 0 else 'against'}, seed {pair[side].run.seed}: {pair[side].note}"
        for pair in made.pairs
        for side in (0, 1)
        if pair[side].note
    ]
    lacking = [f"`{run.identity['hash']}`" for run in made.unmeasured]
    pairs = ", ".join(
        f"{a.value:.4g} `{a.run.identity['hash']}` / {b.value:.4g} `{b.run.identity['hash']}`" for a, b in made.pairs
    )
    interval = f" Interval: {made.effect.interval.method}." if made.effect and made.effect.interval else ""
    return (
        f"- {made.test}: {made.words}. Pairs: {pairs or 'none'}.{interval}"
        + (f" Stand out: {'; '.join(notes)}." if notes else "")
        + (f" Not recorded in {', '.join(lacking)}." if lacking else "")
    )


def difference(made: Comparison) -> str:
    """Which arm's numbers are compared with which."""
    return f"{made.test.arm} - {made.test.against}"


def effect(made: Comparison) -> str:
    """The mean difference and its interval; a factor where the measure is a logarithm."""
    if made.effect is None:
        return GAP
    show: Callable[[float], str] = factor if made.log else signed
    return f"{show(made.effect.mean)} {bracket(made.effect.interval, show)}"


def share(made: Comparison) -> str:
    """The control's part of the arm's difference from the baseline, where that can be told from 0."""
    if made.explained is None or made.explained[1] is None:
        return GAP
    ratio, interval = made.explained
    return f"{ratio:.0%} {bracket(interval, '{:.0%}'.format)}"


def bracket(interval: Interval | None, show: Callable[[float], str]) -> str:
    return f"[{show(interval.low)}, {show(interval.high)}]" if interval else "[--]"


def factor(logarithm: float) -> str:
    return f"x {10**logarithm:.3g}"


def signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"


def mean(values: Sequence[Measured]) -> str:
    return f"{sum(value.value for value in values) / len(values):,.4g}" if values else GAP


def probability(p: float | None) -> str:
    return GAP if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table's lines."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body)]


def anchor(title: str) -> str:
    """The name that Markdown gives a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
