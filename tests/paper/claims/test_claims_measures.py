"""What runs are compared by, on synthetic runs with hand-computed answers."""

from pathlib import Path

import numpy as np
import pytest

from momentum_exp.paper.claims.measures import MEASURES, horizon
from momentum_exp.tracking.run_record import RunRecord, read_run


@pytest.fixture
def runs(make_run):
    """A function that makes records of runs of 4 steps an epoch: `runs(losses, losses, ..)`, diverged ones by None at
    the end."""

    def make(*curves, **options):
        made = []
        for seed, curve in enumerate(curves):
            gone = curve[-1] is None
            losses = curve[:-1] if gone else curve
            facts = {"losses": losses, "accuracies": [1 - loss for loss in losses], **options}
            made.append(read_run(make_run(f"lstm{seed}", seed, state="diverged" if gone else "finished", **facts)))
        return made

    return make


def numbers(measure, runs):
    return [found and (found.value, found.note) for found in measure.all(runs)]


def test_metric_of_the_last_epoch_or_of_the_one_that_validation_chose(runs):
    plain = runs([0.5, 0.25, 0.375])
    measure = MEASURES["metric"](plain, plain)
    assert (measure.rule, numbers(measure, plain)) == ("final", [(62.5, "")])
    chosen = runs([0.5, 0.25, 0.375], data="digits", val_accuracies=[0.9, 0.1, 0.2])
    measure = MEASURES["metric"](chosen, chosen)
    assert (measure.rule, numbers(measure, chosen)) == ("best_val", [(50.0, "")])
    assert "validation" in measure.words


@pytest.mark.parametrize(("task", "worst"), [("classification", 40.0), ("frame_prediction", 0.75)])
def test_a_diverged_run_has_the_worst_number_of_all(runs, task, worst):
    """The worst that any run of the comparison had at any epoch, also where the diverged one looked well until then."""
    three = runs([0.6 if task == "classification" else 0.75, 0.1], [0.3, 0.2], [0.05, None], task=task)
    measure = MEASURES["metric"](three, three[:1])
    *_, gone = numbers(measure, three)
    assert gone == (pytest.approx(worst), "diverged")


def test_speed_and_censoring(runs):
    """Evaluations at iterations 4, 8, 12; the threshold is 0.25."""
    four = runs([0.5, 0.25, 0.125], [0.5, 0.5, 0.25], [0.5, 0.5, 0.5], [0.1, None])
    measure = MEASURES["speed"](four, four[1:2])
    assert numbers(measure, four) == [(8, ""), (12, ""), (12, "censored"), (12, "diverged")]


def test_speed_to_what_every_run_of_the_other_arm_reaches(runs):
    """The lowest losses of the other arm are 0.25 and 0.3: the threshold is 0.3, whatever comes after the lowest."""
    arm, other = runs([0.3, 0.1, 0.05], [0.9, 0.9, 0.9]), runs([0.5, 0.25, 0.4], [0.6, 0.5, 0.3], data="digits")
    measure = MEASURES["speed"]([*arm, *other], other)
    assert measure.threshold == 0.3
    assert numbers(measure, [*arm, *other]) == [(4, ""), (12, "censored"), (8, ""), (12, "")]


def test_speed_where_no_run_of_the_other_arm_finished(runs):
    """The pairs stay: the larger of the arm's own lowest losses, 0.25 and 0.3, is the threshold."""
    arm, other = runs([0.5, 0.25], [0.3, 0.4]), runs([0.5, None], [0.1, None], data="digits")
    measure = MEASURES["speed"]([*arm, *other], other)
    assert numbers(measure, [*arm, *other]) == [(8, ""), (4, ""), (8, "diverged"), (8, "diverged")]
    assert "every finished run, all of this arm, reaches" in measure.words


@pytest.mark.parametrize(("evaluations", "coarse"), [(19, True), (20, False)])
def test_speed_is_too_coarse_with_few_evaluations(runs, evaluations, coarse):
    two = runs([0.5] * evaluations, [0.5] * (evaluations + 5))
    assert MEASURES["speed"](two, two).too_coarse == coarse
    assert not MEASURES["area"](two, two).too_coarse


def test_that_threshold_favours_neither_arm():
    """Learning curves of one distribution in both arms: of 40 evaluations the mean difference is near 0."""
    rng = np.random.default_rng(0)

    def arm():
        rate, floor = rng.lognormal(0, 0.15, (5, 1)), 0.3 * rng.lognormal(0, 0.1, (5, 1))
        curves = floor + 2 * np.exp(-rate * np.arange(1, 41) / 12) + 0.02 * rng.normal(size=(5, 40))
        return [record(seed, curve) for seed, curve in enumerate(curves)]

    def record(seed, curve):
        epochs = [{"step": step, "test_loss": float(loss)} for step, loss in enumerate(curve, start=1)]
        return RunRecord(Path(), {}, {"seed": seed}, {"state": "finished"}, [], epochs)

    differences = []
    for _ in range(200):
        one, other = arm(), arm()
        measure = MEASURES["speed"]([*one, *other], other)
        values = [found.value for found in measure.all([*one, *other])]
        assert {found.note for found in measure.all(other)} == {""}
        differences.append(np.mean(values[:5]) - np.mean(values[5:]))
    assert abs(np.mean(differences)) < 1.5


def test_the_horizon_is_what_all_finished_runs_did(runs):
    assert horizon(runs([0.5, 0.25, 0.125], [0.5, 0.25], [0.5, None])) == 8
    assert horizon(runs([0.5, None], [0.5, 0.4, None], data="digits")) == 8


def test_area_under_the_logarithm(runs):
    """log10 of 1, 0.1, 0.001 is 0, -1, -3: the mean of trapezoids -0.5 and -2 is -1.25, up to the horizon."""
    two = runs([1.0, 0.1, 0.001], [1.0, 0.1, 0.001, 1e-9])
    measure = MEASURES["area"](two, two)
    assert numbers(measure, two) == [(pytest.approx(-1.25), ""), (pytest.approx(-1.25), "")]


def test_validation_loss_goes_before_test_loss(runs):
    (run,) = runs([0.5, 0.25], task="regression")
    for epoch in run.epochs:
        epoch["val_loss"] = epoch["test_loss"] / 10
    assert MEASURES["speed"]([run], [run]).threshold == 0.025


def test_early_gradient(runs):
    """T = 11: t = 1 against t = 10. 1e-2, then 1e-4 in a row of T = 21; a norm of 0 counts as the smallest there is;
    rows whose norm overflowed there are left out."""
    norm_KT = np.full((5, 21), np.nan)
    norm_KT[0, :11] = 1.0
    norm_KT[0, 1] = 1e-2
    norm_KT[1] = 2.0
    norm_KT[1, 2] = 2e-4
    norm_KT[2, :11] = 1.0
    norm_KT[2, 1] = 0.0
    norm_KT[3:, :11] = 1.0
    norm_KT[3, 10] = norm_KT[4, 1] = np.inf
    (run,) = runs([0.5, 0.4], gradients={"step": np.arange(1, 6), "h_l0": norm_KT})
    (found,) = MEASURES["gradient"]([run], [run]).all([run])
    assert found.value == pytest.approx((-2 - 4 - 22) / 3)


def test_gradients_are_compared_at_the_iterations_that_all_runs_recorded(runs):
    """One is recorded every 2 iterations, one every 4; one has a single iteration, and one diverged after the first."""

    def falling(*steps):
        """1e-k at t = 1 of 10 in iteration k."""
        norm_KT = np.ones((len(steps), 11))
        norm_KT[:, 1] = 10.0 ** -np.array(steps)
        return {"step": np.array(steps), "h_l0": norm_KT}

    traces = [falling(1, 3, 5, 7, 9), falling(1, 5, 9), falling(1), falling(1, 11)]
    made = [
        runs([0.5, 0.4], gradients=trace, data=f"digits{number}")[0] for number, trace in enumerate(traces[:3])
    ] + runs([0.5, None], gradients=traces[3], data="digits3")
    dense, sparse, single, gone = MEASURES["gradient"](made, made[:1]).all(made)
    assert (dense.value, sparse.value) == pytest.approx((-5, -5))
    assert single is None
    assert (gone.value, gone.note) == (pytest.approx(-11), "diverged")


def test_a_run_without_gradient_norms_is_not_measured(runs):
    (run,) = runs([0.5, 0.4])
    assert MEASURES["gradient"]([run], [run]).all([run]) == [None]
