"""Whole numbers at even distances in their logarithms."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.statistics.bins import logarithmic


@given(st.integers(1, 10**6), st.integers(2, 400))
def test_they_ascend_from_one_to_the_last(last, count):
    found = logarithmic(last, count)
    assert (found[0], found[-1]) == (1, last)
    assert (np.diff(found) > 0).all()
    assert len(found) <= count


def test_steps_are_even_in_logarithms_where_they_are_wider_than_one():
    assert logarithmic(1000, 4).tolist() == [1, 10, 100, 1000]
    assert logarithmic(10**6, 400)[:20].tolist() == list(range(1, 21))
    assert logarithmic(0, 5).tolist() == [1]
