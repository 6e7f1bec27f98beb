"""Claims: `claims`, a verdict on each of conf/claim."""

import json
from collections.abc import Sequence
from pathlib import Path

from momentum_exp.files import write_text_whole
from momentum_exp.paper.claims.claim import load_claims
from momentum_exp.paper.claims.evaluate import evaluate, gathered, planned_runs
from momentum_exp.paper.claims.machine import as_json
from momentum_exp.paper.claims.render import markdown
from momentum_exp.paper.study import Planned


def names() -> list[str]:
    """All claims are judged together: Holm's correction is over all of them."""
    return ["claims"]


def needs(name: str, scale: str, seeds: Sequence[int]) -> list[Planned]:
    """The runs of every arm that a claim compares, as far as they exist at `scale`."""
    return planned_runs(load_claims(), scale, seeds)


def render(name: str, scale: str, seeds: Sequence[int], runs: Path, out: Path) -> list[Path]:
    """Write `claims.md` and `claims.json`."""
    claims = load_claims()
    results = evaluate(claims, scale, gathered(planned_runs(claims, scale, seeds), runs))
    out.mkdir(parents=True, exist_ok=True)
    page, data = out / "claims.md", out / "claims.json"
    write_text_whole(page, markdown(results, scale, seeds))
    write_text_whole(data, json.dumps(as_json(results, scale, seeds), indent=1, allow_nan=False) + "\n")
    return [page, data]
