"""Rules of verdicts over a grid of synthetic records, and the claims that the package has."""

from itertools import product

import pytest

from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS
from momentum_exp.paper.claims.claim import Claim, ClaimTest, Count, check, load_claims
from momentum_exp.paper.claims.count import count
from momentum_exp.paper.claims.evaluate import evaluate
from momentum_exp.paper.claims.measures import MEASURES
from momentum_exp.paper.claims.render import said
from momentum_exp.paper.claims.verdict import judge_claim
from momentum_exp.paper.study import SCALES, load_study, plan
from momentum_exp.tracking.run_record import read_run

ACCURACY = ClaimTest("pdigits", "momentumlstm", "lstm", "metric", "higher")


@pytest.fixture
def arms(make_run):
    """A function that makes the runs of one study by arm, a last accuracy a seed; None diverged."""

    def make(study="pdigits", **accuracies):
        return {
            (study, arm): [
                read_run(
                    make_run(
                        arm,
                        seed,
                        accuracies=(0.5,) if last is None else (0.5, last),
                        state="diverged" if last is None else "finished",
                    )
                )
                for seed, last in enumerate(of_arm)
            ]
            for arm, of_arm in accuracies.items()
        }

    return make


def judge(runs, *tests, scale="reduced"):
    (result,) = evaluate([Claim("A claim", "says", "source", list(tests), name="claim")], scale, runs)
    return result


BETTER, WORSE, EQUAL = (0.91, 0.92, 0.93, 0.915, 0.925), (0.61, 0.62, 0.6, 0.615, 0.605), (0.8,) * 5
NOISE = (0.75, 0.85, 0.79, 0.82, 0.80)


@pytest.mark.parametrize(
    ("arm", "verdict"),
    [
        (BETTER, "supported"),
        (WORSE, "contradicted"),
        (NOISE, "not shown"),
        (EQUAL, "not shown"),
        (BETTER[:4], "not enough runs"),
        (BETTER[:1], "not enough runs"),
        ((), "not enough runs"),
        ((*BETTER[:4], None), "not shown"),  # one run diverged: it counts with the worst accuracy
        ((None,) * 5, "not shown"),  # as bad as can be, but all differences are equal
    ],
)
def test_verdicts(arms, arm, verdict):
    result = judge(arms(lstm=EQUAL, momentumlstm=arm), ACCURACY)
    assert (result.verdict, result.tests[0].verdict) == (verdict, verdict)
    pairs = result.tests[0].comparison.pairs
    assert len(pairs) == len(arm)
    assert [a.note for a, _ in pairs] == ["diverged" if last is None else "" for last in arm]


def test_diverged_runs_contradict(arms):
    assert judge(arms(lstm=NOISE, momentumlstm=(None,) * 5), ACCURACY).verdict == "contradicted"


def test_equal_differences_show_nothing_however_large(arms):
    made = judge(arms(lstm=EQUAL, momentumlstm=(0.9,) * 5), ACCURACY).tests[0]
    assert (made.verdict, made.adjusted_p) == ("not shown", None)
    assert made.comparison.effect.mean == pytest.approx(10)


def test_speed_of_few_evaluations_is_not_judged(arms):
    """Nor is it in Holm's family; a claim that has other tests is judged by them."""
    speed, runs = ClaimTest("pdigits", "momentumlstm", "lstm", "speed", "lower"), arms(lstm=EQUAL, momentumlstm=BETTER)
    assert judge(runs, speed).verdict == "not judged"
    both = judge(runs, speed, ACCURACY)
    assert [test.verdict for test in both.tests] == ["not judged", "supported"]
    assert both.tests[1].adjusted_p == both.tests[1].comparison.effect.p
    assert both.tests[0].comparison.effect.n == 5
    assert both.verdict == "supported"


def test_tests_that_differ_in_direction_or_baseline_alone_stay_apart(arms):
    runs = arms(lstm=EQUAL, momentumlstm=BETTER)
    two = judge(runs, ACCURACY, ClaimTest("pdigits", "momentumlstm", "lstm", "metric", "lower"))
    assert [test.verdict for test in two.tests] == ["supported", "contradicted"]


def test_the_direction_that_supports(arms):
    backwards = ClaimTest("pdigits", "momentumlstm", "lstm", "metric", "lower")
    assert judge(arms(lstm=EQUAL, momentumlstm=BETTER), backwards).verdict == "contradicted"


def test_an_outlier_alone_decides_nothing(arms):
    """The exact test has to agree: with 5 pairs all differences on one side, whatever the t-test says."""
    result = judge(arms(lstm=EQUAL, momentumlstm=(0.90, 0.91, 0.92, 0.905, 0.79)), ACCURACY)
    assert result.verdict == "not shown"


def test_smoke_scale_judges_nothing(arms):
    result = judge(arms(lstm=EQUAL, momentumlstm=BETTER), ACCURACY, scale="smoke")
    assert result.verdict == "not judged"
    assert result.tests[0].comparison.effect.mean > 0


def test_holm_is_over_the_tests_of_all_claims(arms):
    """One test at p is supported alone and not among many others without effect."""
    runs = arms(lstm=EQUAL, momentumlstm=(0.82, 0.87, 0.81, 0.86, 0.84), rnn=EQUAL, momentumrnn=NOISE)
    other = ClaimTest("pdigits", "momentumrnn", "rnn", "metric", "higher")
    assert judge(runs, ACCURACY).verdict == "supported"
    family = [Claim("A", "says", "source", [ACCURACY], name="a")]
    family += [Claim("B", "says", "source", [other], name=f"b{i}") for i in range(9)]
    result, *others = evaluate(family, "reduced", runs)
    alone = result.tests[0].comparison.effect.p
    assert result.tests[0].adjusted_p == pytest.approx(10 * alone)
    assert result.verdict == "not shown"
    assert {each.verdict for each in others} == {"not shown"}


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([], "not enough runs"),
        (["not enough runs"] * 2, "not enough runs"),
        (["supported", "not enough runs"], "supported"),
        (["supported", "contradicted"], "mixed"),
        (["supported", "not shown"], "mixed"),
        (["contradicted"] * 2, "contradicted"),
        (["not shown"], "not shown"),
        (["not judged"] * 2, "not judged"),
        (["not judged", "not enough runs"], "not enough runs"),
        (["not judged", "supported"], "supported"),
    ],
)
def test_verdict_on_a_claim(verdicts, verdict):
    assert judge_claim(verdicts) == verdict


def test_the_share_of_a_control(arms):
    """LSTM 80, MomentumLSTM 90 to 92, the control gets 8 of the 11 points on average."""
    control = ClaimTest("pdigits", "momentumlstm", "s_alone", "metric", "higher", baseline="lstm")
    runs = arms(lstm=EQUAL, momentumlstm=(0.9, 0.91, 0.92, 0.91, 0.91), s_alone=(0.87, 0.89, 0.88, 0.88, 0.88))
    made = judge(runs, control).tests[0].comparison
    ratio, interval = made.explained
    assert ratio == pytest.approx(8 / 11)
    assert interval.low < ratio < interval.high < 1


def test_a_verdict_is_said_with_its_scale_and_studies(arms):
    """Never more than what was run: the scale and the studies of the tests that decided it."""
    better, equal = arms(lstm=EQUAL, momentumlstm=BETTER), arms("ptb", lstm2=EQUAL, momentumlstm2=EQUAL)
    runs = better | {("pmnist", arm.removesuffix("2")): made for (_, arm), made in equal.items()}
    other = ClaimTest("pmnist", "momentumlstm", "lstm", "metric", "higher")
    assert said(judge(runs, ACCURACY), "reduced") == "**supported** at reduced scale (pdigits)"
    assert said(judge(runs, ACCURACY, other), "reduced") == (
        "**mixed** at reduced scale (supported: pdigits; not shown: pmnist)"
    )
    two = runs | {("pdigits", "srlstm"): arms(srlstm=WORSE)["pdigits", "srlstm"]}
    third = ClaimTest("pdigits", "srlstm", "lstm", "metric", "higher")
    assert said(judge(two, ACCURACY, third), "reduced") == (
        "**mixed** at reduced scale (supported: pdigits momentumlstm; contradicted: pdigits srlstm)"
    )
    twice = runs | {("pdigits", "same_bias"): arms(same_bias=BETTER)["pdigits", "same_bias"]}
    control = ClaimTest("pdigits", "momentumlstm", "same_bias", "metric", "higher")
    assert said(judge(twice, ACCURACY, control), "reduced") == (
        "**mixed** at reduced scale (supported: pdigits momentumlstm - lstm; "
        "not shown: pdigits momentumlstm - same_bias)"
    )
    assert said(judge(runs, ACCURACY, scale="full"), "full") == "**not enough runs**"  # pdigits is no study there
    assert said(judge({}, ACCURACY), "reduced") == "**not enough runs**"


def test_seeds_without_a_partner_are_left_out_of_the_pairs(arms):
    runs = arms(lstm=EQUAL, momentumlstm=BETTER)
    del runs["pdigits", "lstm"][1:3]
    assert [a.run.seed for a, _ in judge(runs, ACCURACY).tests[0].comparison.pairs] == [0, 3, 4]


def test_every_claim_names_what_is_there():
    """Studies and arms exist at some scale, no test stands twice, and better is what supports."""
    claims = load_claims()
    tests = [test for claim in claims for test in claim.tests]
    assert len({str(test) for test in tests}) == len(tests)
    assert all(any(test.exists_at(scale) for scale in SCALES) for test in tests)
    assert all(claim.tests or claim.counts or claim.untested for claim in claims)
    for test in tests:
        higher = {"speed": False, "area": False, "gradient": True}.get(test.measure)
        if higher is None:
            scale = next(scale for scale in SCALES if test.exists_at(scale))
            first = next(iter(load_study(test.study).at(scale)))
            higher = METRICS[plan(load_study(test.study), scale, [0], [first])[0].config.task.name].higher
        assert test.supports == ("higher" if higher else "lower"), test


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"study": "pdigts"}, "no such study.*Write pdigits"),
        ({"arm": "momentumlst"}, "no such arm of study pdigits.*Write momentumlstm.*conf/claim/mine.yaml"),
        ({"baseline": "lst"}, "no such arm of study pdigits.*Write lstm"),
        ({"measure": "sped"}, "no such measure.*Write speed"),
        ({"supports": "more"}, "no such direction.*Known are higher, lower"),
    ],
)
def test_a_claim_that_names_what_is_not_there_is_refused(wrong, message):
    test = ClaimTest(**{**vars(ACCURACY), **wrong})
    with pytest.raises(UserError, match=message):
        check(test, "mine")


def test_lines_are_counted_in_the_source():
    counted = count(Count("momentum", "cells/dynamics/linear.py", "Momentum.step", "Identity.step", at_most=2))
    assert counted.verdict == "supported"
    assert len(counted.lines) == 2
    assert count(Count("x", "cells/dynamics/linear.py", "Momentum.step", "Identity.step", at_most=1)).verdict == (
        "contradicted"
    )
    assert not count(Count("x", "cells/dynamics/linear.py", "Momentum.step", "Momentum.step", 1)).lines
    for file, method in product(["cells/dynamics/linear.py", "nowhere.py"], ["Momentum.stop"]):
        with pytest.raises(UserError, match="mend conf/claim"):
            count(Count("x", file, method, method, 1))


def test_measures_say_what_is_better_and_which_are_logarithms(arms):
    """The metric's direction is its task's: accuracy here."""
    runs = arms(lstm=EQUAL)["pdigits", "lstm"]
    measures = {name: kind(runs, runs) for name, kind in MEASURES.items()}
    assert {name: (measure.higher_is_better, measure.log) for name, measure in measures.items()} == {
        "metric": (True, False),
        "speed": (False, False),
        "area": (False, True),
        "gradient": (True, True),
    }
