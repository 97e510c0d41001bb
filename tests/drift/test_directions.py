"""Chance, windows and persistence with known answers."""

import numpy as np
import pytest

from deadtokens.drift.directions import (
    chance_cosine,
    decades,
    explained_alone,
    hidden_directions,
    lags,
    live_directions,
    oriented,
    persistence,
)
from deadtokens.statistics.cosines import cosines


@pytest.mark.parametrize("width", [2, 5, 64])
def test_one_random_direction_in_twenty_exceeds_the_chance_cosine(width):
    generator = np.random.default_rng(width)
    vectors = generator.normal(size=(20_000, width))
    beyond = np.abs(cosines(vectors, np.eye(width)[:1])) > chance_cosine(width)
    assert beyond.mean() == pytest.approx(0.05, abs=0.006)


def test_in_one_dimension_all_directions_are_alike():
    assert chance_cosine(1) == 1


def test_what_directions_explain_alone():
    vectors = np.array([[3.0, 1.0, 0], [-3, 1, 0]])
    found = explained_alone(vectors, np.array([[10.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]))
    assert found == pytest.approx([0.9, 0.1, 0, 0.5])
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert explained_alone(vectors, basis.T).sum() == pytest.approx(1)


def test_directions_are_turned_along_a_vector():
    found = oriented(np.array([[1.0, 0], [0, 1.0]]), np.array([-2.0, 5.0]))
    assert found.tolist() == [[-1, 0], [0, 1]]


def test_decades_hold_each_update_once():
    updates = np.arange(1, 1501)
    names, chosen = zip(*decades(updates), strict=True)
    assert names == (
        "updates 1 to 10",
        "updates 11 to 100",
        "updates 101 to 1,000",
        "updates 1,001 to 1,500",
    )
    assert (np.sum(chosen, axis=0) == 1).all()
    assert [name for name, _ in decades(np.arange(1, 8))] == ["updates 1 to 7"]
    assert list(decades(np.zeros(0, int))) == []


def test_hidden_directions_are_means_over_windows():
    h = np.concatenate([np.tile([1.0, 0], (10, 1)), np.tile([0, -3.0], (10, 1))])
    found = hidden_directions(h, np.arange(1, 21))
    assert found["mean hidden state"].tolist() == [0.5, -1.5]
    assert found["mean hidden state, updates 1 to 10"].tolist() == [1, 0]
    assert found["mean hidden state, updates 11 to 20"].tolist() == [0, -3]
    assert found["sign of the mean hidden state"].tolist() == [1, -1]


def test_live_directions_by_hand():
    first, last = np.zeros((2, 2)), np.array([[1.0, 0], [0, 4.0]])
    found = live_directions(first + 1, last, np.array([3, 1]))
    assert found["live centroid at the end"].tolist() == [0.5, 2]
    assert found["live centroid's net displacement"].tolist() == [-0.5, 1]
    assert found["unigram-weighted mean of live rows"].tolist() == [0.75, 1]
    unknown = live_directions(first, last, None)["unigram-weighted mean of live rows"]
    assert np.isnan(unknown).all()


def test_lags_reach_to_half_the_run():
    assert lags(100).tolist() == [1, 2, 5, 10, 20, 50]
    assert lags(1).tolist() == []


def test_persistence_of_a_constant_with_noise():
    noise = np.random.default_rng(0).normal(size=(3000, 4))
    cosine, correlation = persistence(noise + 10, 7)
    assert cosine == pytest.approx(1, abs=0.02)
    assert correlation == pytest.approx(0, abs=0.03)


def test_persistence_of_an_autoregression_is_its_coefficient():
    generator = np.random.default_rng(0)
    values = np.zeros((20_000, 2))
    for step in range(1, len(values)):
        values[step] = 0.8 * values[step - 1] + generator.normal(size=2)
    for lag in (1, 3):
        assert persistence(values, lag)[1] == pytest.approx(0.8**lag, abs=0.03)


def test_persistence_of_an_alternation():
    values = np.array([1.0, -1.0] * 50)[:, None] * np.array([[1.0, 2.0]])
    assert persistence(values, 1) == pytest.approx((-1, -0.99))
    assert persistence(values, 2) == pytest.approx((1, 0.98))
