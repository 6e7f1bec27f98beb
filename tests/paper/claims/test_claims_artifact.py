"""`claims` and `report` as they are made of run folders."""

import json

import pytest
from planned_runs import finish

from momentum_exp.errors import UserError
from momentum_exp.paper.artifacts import claims, report, resolve
from momentum_exp.paper.claims.claim import Claim, ClaimTest

ARMS = {"momentumlstm": (0.91, 0.92, 0.93, 0.915, 0.925), "lstm": (0.8,) * 5}
TESTS = [
    ClaimTest("pdigits", "momentumlstm", "lstm", "metric", "higher"),
    ClaimTest("pdigits", "momentumlstm", "lstm", "area", "lower"),
    ClaimTest("pdigits", "momentumlstm", "lstm", "gradient", "higher"),
]
ONE = (Claim("Better", "says this", "abstract", TESTS, notes=["A note."], name="better"),)


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """A folder of the runs that one claim needs, with made-up accuracies; seed 4 of the LSTM is not there."""
    monkeypatch.setattr(claims, "load_claims", lambda: ONE)
    folder = tmp_path / "all"
    for planned in claims.needs("claims", "reduced", range(5)):
        if (planned.arm, planned.seed) == ("lstm", 4):
            continue
        accuracies = (0.5, ARMS[planned.arm][planned.seed])
        epochs = [{"test_accuracy": accuracy, "test_loss": 1 - accuracy} for accuracy in accuracies]
        finish(planned, folder, epochs)
    return folder


def test_needs_are_the_arms_of_all_tests_once(runs):
    needed = claims.needs("claims", "reduced", [0, 1])
    arms_and_seeds = sorted((run.arm, run.seed) for run in needed)
    assert arms_and_seeds == [("lstm", 0), ("lstm", 1), ("momentumlstm", 0), ("momentumlstm", 1)]
    assert report.needs("report", "reduced", [0]) == []


def test_claims_as_markdown_and_json(runs, tmp_path):
    files = claims.render("claims", "reduced", range(5), runs, tmp_path / "out")
    assert [file.name for file in files] == ["claims.md", "claims.json"]
    page, data = files[0].read_text(), json.loads(files[1].read_text())
    first = next(line for line in page.splitlines() if line.startswith("| [Better]"))
    shown = "pdigits: momentumlstm - lstm, test accuracy (%): +11.9 [+10.5, +13.2]"
    assert f"**not enough runs** | 0 of 3 | {shown} | 4 |" in first
    assert "A note." in page
    assert "says this" in page
    (claim,) = data["claims"]
    assert claim["tests_with_enough_runs"] == 0
    metric, area, gradient = claim["tests"]
    assert (metric["n"], metric["verdict"], metric["p_holm"]) == (4, "not enough runs", None)
    assert metric["difference"] == pytest.approx(11.875)
    hashes = {pair[side]["run"] for pair in metric["pairs"] for side in ("arm", "against")}
    assert hashes == {run.identity.hash for run in claims.needs("claims", "reduced", range(4))}
    assert all(f"`{each}`" in page for each in hashes)
    assert area["log10"]
    assert len(gradient["not_recorded"]) == 8
    assert "Not recorded in" in page


def test_the_report_leads_to_the_runs_of_the_claims(runs, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"claims\.md is missing.*claims --scale reduced --seeds 5 --runs"):
        report.render("report", "reduced", range(5), runs, out)
    claims.render("claims", "reduced", range(5), runs, out)
    judged = (out / "claims.md").read_bytes()
    files = report.render("report", "reduced", range(1), runs, out)
    assert (out / "claims.md").read_bytes() == judged
    html = files[-1].read_text()
    assert [file.name for file in files] == ["reproducibility-checklist.md", "report.html"]
    for run in claims.needs("claims", "reduced", range(4)):
        assert f'href="#run-{run.identity.hash}"' in html
        assert f'id="run-{run.identity.hash}"' in html


def test_they_can_be_asked_for_and_the_report_is_made_last():
    assert [artifact.name for artifact in resolve(["report", "claims"])] == ["claims", "report"]
    assert resolve(["paper"])[-1].name == "report"
