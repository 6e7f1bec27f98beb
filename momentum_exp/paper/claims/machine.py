"""Verdicts for programs: claims.json."""

import math
from collections.abc import Sequence
from typing import Any

from momentum_exp.paper.claims.evaluate import ClaimResult, Judged
from momentum_exp.paper.claims.measures import Measured
from momentum_exp.paper.claims.paired import Interval
from momentum_exp.summary.provenance import commits


def as_json(results: Sequence[ClaimResult], scale: str, seeds: Sequence[int]) -> dict[str, Any]:
    """All verdicts with their numbers and run ids; what is not a number is null."""
    return {"scale": scale, "seeds": list(seeds), "claims": [claim(result) for result in results]}


def claim(result: ClaimResult) -> dict[str, Any]:
    return {
        "name": result.claim.name,
        "title": result.claim.title,
        "source": result.claim.source,
        "verdict": result.verdict,
        "tests_with_enough_runs": result.enough,
        "tests": [test(each) for each in result.tests],
        "counts": [
            {"what": each.count.what, "lines": len(each.lines), "at_most": each.count.at_most, "verdict": each.verdict}
            for each in result.counts
        ],
        "untested": result.claim.untested,
    }


def test(result: Judged) -> dict[str, Any]:
    made = result.comparison
    wanted, effect = made.test, made.effect
    explained = made.explained
    return {
        "study": wanted.study,
        "arm": wanted.arm,
        "against": wanted.against,
        "measure": wanted.measure,
        "words": made.words,
        "log10": made.log,
        "supports": wanted.supports,
        "verdict": result.verdict,
        "n": len(made.pairs),
        "difference": effect and effect.mean,
        "interval": interval(effect.interval if effect else None),
        "p": effect and effect.p,
        "p_holm": result.adjusted_p,
        "p_sign_flip": effect and effect.p_sign_flip,
        "control_has": explained
        and {"ratio": None if math.isnan(explained[0]) else explained[0], "interval": interval(explained[1])},
        "pairs": [{"seed": a.run.seed, "arm": side(a), "against": side(b)} for a, b in made.pairs],
        "not_recorded": [run.identity["hash"] for run in made.unmeasured],
    }


def side(measured: Measured) -> dict[str, Any]:
    run = measured.run
    return {
        "value": measured.value,
        "note": measured.note,
        "run": run.identity["hash"],
        "commits": commits(run),
    }


def interval(of: Interval | None) -> dict[str, Any] | None:
    return None if of is None else {"low": of.low, "high": of.high, "method": of.method}
