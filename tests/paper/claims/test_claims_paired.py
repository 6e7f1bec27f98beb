"""Statistics of paired differences against hand-computed cases, and how often they are wrong on data without effect."""

import math

import numpy as np
import pytest

from momentum_exp.paper.claims.paired import FEWEST_BOOTSTRAP, fraction, holm, paired, sign_flip
from momentum_exp.paper.claims.verdict import NOT_SHOWN, judge_test


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # 3 x 0.01; 2 x 0.03; never below the one before
        ([0.5, 0.9, 0.001], [1.0, 1.0, 0.003]),
    ],
)
def test_holm(raw, adjusted):
    assert holm(raw) == pytest.approx(adjusted)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3], 2 / 8),  # only all signs or none
        ([1, 2, -3], 1.0),  # the mean is 0
        ([3, 2, -1], 4 / 8),  # sums of at least 4: +++, ++-, and their opposites
        ([1, 1, 1, 1, 1], 2 / 32),
        ([0, 0], 1.0),
    ],
)
def test_sign_flips_are_enumerated(differences, p):
    assert sign_flip(np.array(differences, dtype=float)) == pytest.approx(p)


def test_a_hand_computed_case():
    """Differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t = 3.4641 on 2 degrees of freedom, quantile 4.3027."""
    result = paired([1, 2, 3])
    assert (result.n, result.mean, result.p_sign_flip) == (3, 2.0, 0.25)
    assert result.interval.method == "t"
    half = 4.302652729749464 / math.sqrt(3)
    assert (result.interval.low, result.interval.high) == pytest.approx((2 - half, 2 + half))
    assert result.p == pytest.approx(1 - 3.4641016 / math.sqrt(2 + 12))  # the closed form for 2 degrees of freedom


def test_few_and_equal_differences():
    assert (paired([1.5]).interval, paired([1.5]).p) == (None, None)
    for equal in ([2, 2, 2], [0, 0, 0], [2.0] * 20, [0.1, 0.1, 0.3 - 0.2]):
        result = paired(equal)
        assert (result.mean, result.p, result.interval) == (pytest.approx(equal[0]), None, None)
    assert paired([2, 2, 2, 2, 2]).p_sign_flip == 2 / 32


def test_shifting_and_scaling_shift_and_scale_the_interval():
    values = np.random.default_rng(0).normal(size=FEWEST_BOOTSTRAP)
    one, other = paired(values).interval, paired(3 + 2 * values).interval
    assert one.method == "BCa bootstrap"
    assert (other.low, other.high) == pytest.approx((3 + 2 * one.low, 3 + 2 * one.high))


def test_intervals_cover_and_verdicts_are_seldom_wrong_without_effect():
    """Of 5 normal differences without effect, the t interval covers 0 in 95%; a lone test errs in at most 5%."""
    rng = np.random.default_rng(1)
    results = [paired(rng.normal(size=5)) for _ in range(600)]
    covered = np.mean([result.interval.low <= 0 <= result.interval.high for result in results])
    wrong = np.mean([judge_test(result, result.p, "higher") != NOT_SHOWN for result in results])
    assert 0.93 < covered < 0.97
    assert 0 < wrong < 0.05


def test_fraction_by_fieller():
    """Parts half of the wholes exactly: no width. With noise, the defining property of both ends."""
    ratio, interval = fraction([1, 2, 1.5], [2, 4, 3])
    assert (ratio, interval.low, interval.high) == pytest.approx((0.5, 0.5, 0.5))
    x, y = np.array([1.0, 1.2, 0.7, 1.1]), np.array([2.0, 2.3, 1.8, 1.9])
    _, interval = fraction(x, y)
    for end in (interval.low, interval.high):
        assert paired(x - end * y).p == pytest.approx(0.05, abs=1e-6)


def test_no_fraction_of_a_gain_that_may_be_none():
    assert fraction([1, 1, 1], [-2, 0.5, 2])[1] is None
    assert fraction([1], [2]) == (0.5, None)
    assert math.isnan(fraction([1, 1], [1, -1])[0])
