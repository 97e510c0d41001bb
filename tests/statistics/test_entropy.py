"""The entropy of uniform, of certain and of mean predictions."""

import numpy as np
import pytest
from scipy import stats

from deadtokens.statistics.entropy import entropy


def test_entropy_of_uniform_and_of_certain_predictions():
    assert entropy(np.full((50, 2), 1 / 50), axis=0) == pytest.approx(np.full(2, np.log(50)))
    assert entropy(np.eye(4), axis=0) == pytest.approx(np.zeros(4))


def test_entropy_of_the_mean_prediction():
    uniform, sharp = np.full(8, 1 / 8), np.eye(8)[0]
    assert entropy(np.stack([uniform, sharp]), axis=1) == pytest.approx([np.log(8), 0])
    # Two sharp predictions of different tokens: each has entropy 0, their mean has ln 2.
    assert entropy(np.eye(8)[:2].mean(axis=0)[None], axis=1) == pytest.approx([np.log(2)])


def test_probabilities_are_taken_as_they_are():
    p = np.random.default_rng(0).dirichlet(np.ones(20), size=3)
    assert entropy(p, axis=1) == pytest.approx(stats.entropy(p, axis=1))
    assert entropy(2 * p, axis=1) == pytest.approx(2 * stats.entropy(p, axis=1) - 2 * np.log(2))
