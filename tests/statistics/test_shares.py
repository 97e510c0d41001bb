"""Shares along the whole with known answers."""

import numpy as np
import pytest

from deadtokens.statistics.shares import shares


def test_shares_of_parts_that_sum_to_the_whole_sum_to_one():
    parts = np.random.default_rng(0).normal(size=(7, 4, 5))
    found = shares(parts, parts.sum(axis=1))
    assert found.shape == (7, 4)
    assert found.sum(axis=1) == pytest.approx(np.ones(7))


def test_shares_are_along_the_whole():
    parts = np.array([[3.0, 1], [1, -1], [0, 0], [-2, 5]])
    assert shares(parts, np.array([4.0, 0])).tolist() == [0.75, 0.25, 0, -0.5]
    assert np.isnan(shares(parts, np.zeros(2))).all()
