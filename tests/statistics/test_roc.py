"""Areas under ROC curves: against another implementation, counting, and drawn samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from deadtokens.statistics.roc import area_under_curve


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 5, 1000]))
def test_the_area_is_that_of_scikit_learn(seed, levels):
    generator = np.random.default_rng(seed)
    indicator = generator.integers(0, levels, 40) / levels
    truth = np.arange(40) < generator.integers(1, 39)
    found = area_under_curve(indicator, truth)
    assert found.value == pytest.approx(roc_auc_score(truth, -indicator), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_small_means_unused():
    truth = np.array([True, True, False, False])
    assert area_under_curve(np.array([0.1, 0.2, 0.3, 0.4]), truth) == (1, 1, 1)
    assert area_under_curve(np.array([0.4, 0.3, 0.2, 0.1]), truth) == (0, 0, 0)
    assert area_under_curve(np.array([1.0, 1.0, 1.0, 1.0]), truth).value == 0.5


def test_tokens_without_a_value_are_left_out():
    truth = np.array([True, False, True, False])
    with_none = area_under_curve(np.array([0.1, 0.2, np.nan, np.nan]), truth)
    assert with_none.value == 1
    assert np.isnan(area_under_curve(np.array([0.1, np.nan]), np.array([True, False])).value)


def test_the_interval_covers_the_true_area_as_often_as_it_says():
    """Of two normal distributions a shift apart the area is known."""
    generator, shift, hits = np.random.default_rng(7), 1.0, 0
    from scipy.stats import norm

    true = norm.cdf(shift / np.sqrt(2))
    truth = np.arange(150) < 50
    for _ in range(600):
        values = generator.normal(size=150) - shift * truth
        found = area_under_curve(values, truth)
        hits += found.low <= true <= found.high
    assert hits / 600 == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 600))
