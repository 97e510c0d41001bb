"""Quantiles: numpy's, of all values, of the finite ones, without interpolation, of times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.statistics.quantiles import (
    observed_quantiles,
    quantiles,
    quantiles_of_finite,
    time_quantiles,
)


@given(
    values=st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1),
    quantile=st.floats(0, 1),
)
def test_quantiles_are_numpys_of_the_finite_values(values, quantile):
    found = quantiles_of_finite(np.array([values]), [quantile])[0, 0]
    there = np.array(values)[np.isfinite(values)]
    expected = np.quantile(there, quantile) if len(there) else np.nan
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-9, nan_ok=True)


def test_quantiles_of_nothing_are_nan():
    assert np.isnan(quantiles_of_finite(np.zeros((3, 0)), [0.5])).all()
    assert np.isnan(quantiles_of_finite(np.full((2, 4), np.inf), [0.1, 0.5])).all()


def test_what_is_not_finite_is_left_out_and_the_values_stay():
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.inf], [2.0, np.nan]])
    before = values.copy()
    found = quantiles_of_finite(values.T, (0.05, 0.25, 0.5, 0.75, 0.95))
    assert found[0] == pytest.approx([1.1, 1.5, 2.0, 2.5, 2.9])
    assert np.isnan(found[1]).all()
    assert np.array_equal(values, before, equal_nan=True)


@pytest.mark.parametrize("number_format", [np.float32, np.float64])
def test_quantiles_of_all_values_are_numpys_to_the_bit(number_format):
    values = np.random.default_rng(0).normal(size=(3, 4, 101)).astype(number_format)
    parts = (0.0, 0.05, 0.25, 0.5, 0.77, 1.0)
    assert np.array_equal(
        quantiles(values, parts), np.moveaxis(np.quantile(values, parts, -1), 0, -1)
    )


def test_of_a_value_that_is_not_a_number_no_quantile_is_known():
    values = np.array([[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]])
    assert np.isnan(quantiles(values, [0.0, 0.5])[0]).all()
    assert quantiles(values, [0.0, 0.5])[1].tolist() == [1, 2]
    assert np.isnan(quantiles(np.zeros((3, 0)), [0.5])).all()


def test_observed_quantiles_are_numpys():
    values = np.random.default_rng(0).exponential(size=(7, 11))
    for part in (0.001, 0.05, 0.5, 0.95, 1.0):
        expected = np.quantile(values, part, method="inverted_cdf")
        assert observed_quantiles(values, [part]).tolist() == [expected]
    infinite = np.array([np.inf, 1, np.inf])
    assert observed_quantiles(infinite, [0.0, 0.3, 0.7]).tolist() == [1, 1, np.inf]


def test_a_sign_of_zero_or_of_nan_does_not_count():
    values = np.array([np.copysign(np.nan, -1), 2.0, -0.0, np.inf])
    assert observed_quantiles(values, [0.25, 0.5, 0.75]).tolist() == [0, 2, np.inf]
    assert np.isnan(observed_quantiles(values, [1.0])).all()


def test_quantiles_are_tokens_own_times():
    times = np.array([8, 1, 3, 5, 2])
    none = np.zeros(5, bool)
    assert time_quantiles(times, none, [0.2, 0.5, 0.6, 1.0]).tolist() == [1, 3, 3, 8]


def test_quantiles_that_the_record_does_not_reach_are_nan():
    times, censored = np.array([1, 9, 9, 9]), np.array([False, False, True, True])
    found = time_quantiles(times, censored, [0.25, 0.5, 0.75])
    assert found[:2].tolist() == [1, 9]
    assert np.isnan(found[2])
    assert np.isnan(time_quantiles(times[:0], censored[:0], [0.5])).all()
