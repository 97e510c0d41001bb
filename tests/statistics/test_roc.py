"""Areas under ROC curves: against another implementation, counting, and drawn samples."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import logit
from scipy.stats import brunnermunzel, norm, t
from sklearn.metrics import roc_auc_score

from deadtokens.freezing.order import cliffs_delta
from deadtokens.statistics.roc import area_under_curve

SIDES = np.array([-1, 1])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 5, 1000]))
def test_the_area_is_that_of_scikit_learn(seed, levels):
    generator = np.random.default_rng(seed)
    indicator = generator.integers(0, levels, 40) / levels
    truth = np.arange(40) < generator.integers(1, 39)
    found = area_under_curve(indicator, truth)
    assert found.value == pytest.approx(roc_auc_score(truth, -indicator), abs=1e-12)
    if min(truth.sum(), (~truth).sum()) == 1 or np.ptp(indicator) == 0:
        assert np.isnan([found.low, found.high]).all()
    else:
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_small_means_unused():
    truth = np.array([True, True, False, False])
    assert area_under_curve(np.array([0.1, 0.2, 0.3, 0.4]), truth).value == 1
    assert area_under_curve(np.array([0.4, 0.3, 0.2, 0.1]), truth).value == 0


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("value", [-1.0, 3.5, 8.0])
def test_a_token_alone_has_an_area_and_no_interval(value, alone):
    """Whether its area is 0, 1, or between: how others of its kind would differ is not known."""
    truth = np.arange(8) == 0 if alone else np.arange(8) != 0
    found = area_under_curve(np.array([value, *range(7)]), truth)
    share = np.mean(np.arange(7) > value)
    assert found.value == pytest.approx(share if alone else 1 - share)
    assert np.isnan([found.low, found.high]).all()


def test_values_that_all_tie_have_an_area_and_no_interval():
    found = area_under_curve(np.ones(9), np.arange(9) < 4)
    assert found.value == 0.5
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(("unused", "seed"), [*product((2, 3, 20), (1, 2, 4))])
def test_the_interval_is_the_one_that_the_test_of_brunner_and_munzel_implies(unused, seed):
    """Their statistic gives the standard error, and their p then the degrees of freedom."""
    values, truth = np.random.default_rng(seed).normal(size=60), np.arange(60) < unused
    found = area_under_curve(values, truth)
    statistic, p = brunnermunzel(values[truth], values[~truth])
    error = (found.value - 0.5) / statistic
    freedom = brentq(lambda degrees: 2 * t.sf(abs(statistic), degrees) - p, 0.5, 1000)
    reach = t.ppf(0.975, freedom) * abs(error) / (found.value * (1 - found.value))
    assert logit([found.low, found.high]) == pytest.approx(logit(found.value) + reach * SIDES)


@pytest.mark.parametrize(("unused", "others"), [(2, 50), (2, 2), (7, 3), (500, 501)])
def test_tokens_that_are_parted_are_bounded_by_how_many_there_are(unused, others):
    """An area of n tokens and more is at least n / (n + z^2): of two 0.342, of 500 0.992."""
    values, truth = np.arange(unused + others), np.arange(unused + others) < unused
    fewest, z = min(unused, others), 1.959964
    least = fewest / (fewest + z**2)
    assert area_under_curve(values, truth) == pytest.approx((1, least, 1), abs=1e-6)
    assert area_under_curve(-values, truth) == pytest.approx((0, 0, 1 - least), abs=1e-6)


@pytest.mark.parametrize("shift", [10, -10])
def test_areas_and_dominance_of_what_is_parted_have_one_bound(shift):
    unused, others = shift + np.arange(4), np.arange(9)
    area = area_under_curve(np.concatenate([unused, others]), np.arange(13) < 4)
    delta = cliffs_delta(others, unused)
    assert area == pytest.approx([(1 + one) / 2 for one in delta])


def test_tokens_without_a_value_are_left_out():
    truth = np.array([True, False, True, False])
    with_none = area_under_curve(np.array([0.1, 0.2, np.nan, np.nan]), truth)
    assert with_none.value == 1
    assert np.isnan(area_under_curve(np.array([0.1, np.nan]), np.array([True, False])).value)


def coverage(shift, unused, others, draws):
    """Return how often the interval has the true area, known of two normal distributions."""
    generator, true = np.random.default_rng(7), norm.cdf(shift / np.sqrt(2))
    truth = np.arange(unused + others) < unused
    found = [
        area_under_curve(generator.normal(size=len(truth)) - shift * truth, truth)
        for _ in range(draws)
    ]
    return np.mean([area.low <= true <= area.high for area in found])


def test_the_interval_covers_the_true_area_as_often_as_it_says():
    assert coverage(1, 50, 100, 600) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 600))


@pytest.mark.parametrize(("unused", "least"), [(2, 0.83), (3, 0.88), (5, 0.9), (10, 0.92)])
def test_of_few_tokens_the_interval_covers_it_hardly_less_often(unused, least):
    """By a normal distribution's quantile it was 0.71 of two, 0.81 of three, 0.88 of five."""
    assert coverage(1, unused, 300, 600) > least


def test_the_interval_covers_where_samples_are_often_parted():
    """Of ten tokens and ten others three deviations apart, every fourth time none overlaps."""
    generator, shift, parted, hits = np.random.default_rng(3), 3.0, 0, 0
    true, truth = norm.cdf(shift / np.sqrt(2)), np.arange(20) < 10
    for _ in range(400):
        found = area_under_curve(generator.normal(size=20) - shift * truth, truth)
        parted += found.value == 1
        hits += found.low <= true <= found.high
    assert parted > 80
    assert hits / 400 > 0.9
