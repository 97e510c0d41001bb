"""Quantiles of finite values: numpy's, where there are some."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.statistics.quantiles import quantiles_of_finite


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
