"""The value at a place, against numpy's sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.statistics.selection import value_at


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
