"""Quantiles that are values, against numpy's sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.statistics.selection import quantiles_of, value_at


def test_quantiles_are_numpys():
    values = np.random.default_rng(0).exponential(size=(7, 11))
    for part in (0.001, 0.05, 0.5, 0.95, 1.0):
        expected = np.quantile(values, part, method="inverted_cdf")
        assert quantiles_of(values, [part]).tolist() == [expected]
    assert quantiles_of(np.array([np.inf, 1, np.inf]), [0.0, 0.3, 0.7]).tolist() == [1, 1, np.inf]


def test_a_sign_of_zero_or_of_nan_does_not_count():
    values = np.array([np.copysign(np.nan, -1), 2.0, -0.0, np.inf])
    assert quantiles_of(values, [0.25, 0.5, 0.75]).tolist() == [0, 2, np.inf]
    assert np.isnan(quantiles_of(values, [1.0])).all()


@given(st.lists(st.floats(), min_size=1), st.integers(1, 4))
@settings(deadline=None)
def test_every_place_is_that_of_the_sorted_values(numbers, copies):
    values = np.abs(np.array(numbers * copies))
    found = [value_at(values, place) for place in range(len(values))]
    assert np.array_equal(found, np.sort(values), equal_nan=True)


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1.0, 100.0])
def test_places_among_many_values_are_numpys(scale):
    """Values of which all, many or few share their leading digits."""
    values = np.exp(scale * np.random.default_rng(0).normal(size=10**5))
    ordered = np.sort(values)
    for place in (0, 1, 4_999, 50_000, 99_999):
        assert value_at(values, place) == ordered[place]
