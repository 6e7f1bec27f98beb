"""Hours of what is missing, by what was measured of such runs."""

import json
from pathlib import Path

import pytest

from momentum_exp.paper.estimate import describe
from momentum_exp.paper.progress import progress
from momentum_exp.paper.study import Planned, load_study, plan
from momentum_exp.runs.claim import FolderClaim


@pytest.mark.parametrize(
    ("scale", "said"),
    [("reduced", "hours by minutes an epoch in conf/experiment (1)"), ("smoke", "1 missing; time not known (1)")],
)
def test_an_experiment_speaks_for_runs_on_its_own_data(scale: str, said: str, tmp_path: Path) -> None:
    """At smoke scale the arm is the same experiment, on digits."""
    planned = plan(load_study("pmnist_dtriv"), scale, [0], ["dtriv_n170"])
    assert said in describe(progress(planned, tmp_path), 1)


def test_before_any_run_is_done_the_study_says_what_one_takes(tmp_path: Path) -> None:
    planned = plan(load_study("copying"), "reduced", [0, 1], ["lstm"])
    hours = 2 * load_study("copying").scales["reduced"].minutes / 60
    assert f"2 missing; {hours:.2f} hours by minutes a run in conf/study (2)" in describe(
        progress(planned, tmp_path), 1
    )


def begun(runs: Path, state: str, step: int) -> list[Planned]:
    """The plan of one run, and in its folder that it is in `state` after `step` of 6,000 iterations and 900 seconds."""
    planned = plan(load_study("copying"), "reduced", [0], ["lstm"])
    folder = planned[0].folder(runs)
    folder.mkdir()
    status = {"state": state, "step": step, "total_steps": 6000, "seconds": 900.0}
    (folder / "status.json").write_text(json.dumps(status))
    return planned


def test_what_a_running_one_still_takes_counts(tmp_path: Path) -> None:
    """A quarter of it took 900 seconds, so that 2700 are left."""
    planned = begun(tmp_path, "running", 1500)
    with FolderClaim(planned[0].folder(tmp_path)).held():
        text = describe(progress(planned, tmp_path), 1)
    assert "1 run: 1 running; 0.75 hours by its own progress (1)" in text
    assert text.endswith("left: 0.75 hours")


def test_a_diverged_run_starts_anew(tmp_path: Path) -> None:
    planned = begun(tmp_path, "diverged", 5900)
    hours = load_study("copying").scales["reduced"].minutes / 60
    text = describe(progress(planned, tmp_path), 1, todo=("diverged",))
    assert f"1 missing; {hours:.2f} hours by minutes a run in conf/study (1)" in text
