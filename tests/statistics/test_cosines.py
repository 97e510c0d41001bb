"""Cosines with known answers."""

import numpy as np
import pytest

from deadtokens.statistics.cosines import cosines


def test_cosines_of_known_vectors():
    found = cosines(np.array([[1.0, 0], [3, 4], [0, 0]]), np.array([[0, 2.0], [-1, 0]]))
    assert found[:2] == pytest.approx(np.array([[0, -1], [0.8, -0.6]]))
    assert np.isnan(found[2]).all()


def test_cosines_of_huge_and_tiny_vectors_do_not_overflow():
    assert cosines(np.array([[1e200, 1e200]]), np.array([[1e-200, 0]]))[0, 0] == pytest.approx(
        np.sqrt(0.5)
    )
