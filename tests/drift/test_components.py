"""Principal components: planted directions, and chance, which must not be taken for one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.drift.component_sets import common_share
from deadtokens.drift.components import (
    band,
    count_above,
    isotropic_shares,
    moment_shares,
    principal_components,
    resampled_moments,
    resampling_weights,
    shares_of,
)

WIDTH = 8


def drifting(tokens=200, along=3.0, seed=0):
    """Return vectors with a common part `along` the third axis, and isotropic noise."""
    vectors = np.random.default_rng(seed).normal(size=(tokens, WIDTH))
    vectors[:, 2] += along
    return vectors


def described(vectors, centred, seed=0):
    generator = np.random.default_rng(seed)
    share = principal_components(vectors, centred).share
    weights = resampling_weights(len(vectors), generator)
    moments = resampled_moments(vectors, weights)
    limits = band(share, moment_shares(moments, vectors, weights, centred))
    (random,) = isotropic_shares([vectors], [centred], generator)
    return share, limits, random


def more_than_chance(vectors, centred, seed=0):
    _, limits, random = described(vectors, centred, seed)
    return count_above(limits[0], np.quantile(random, 0.975, axis=0))


def test_shares_and_directions_are_those_of_a_singular_value_decomposition():
    vectors = drifting(30) * np.arange(1, WIDTH + 1)
    for centred in (False, True):
        expected = vectors - vectors.mean(axis=0) if centred else vectors
        _, values, rows = np.linalg.svd(expected)
        found = principal_components(vectors, centred)
        assert found.share == pytest.approx(values**2 / (values**2).sum(), abs=1e-12)
        assert np.abs((found.direction * rows).sum(axis=1)) == pytest.approx(1)


def test_a_common_motion_is_a_component_raw_and_none_centred():
    raw = principal_components(drifting(along=20.0), centred=False)
    assert raw.share[0] > 0.95
    assert abs(raw.direction[0, 2]) > 0.99
    assert principal_components(drifting(along=20.0), centred=True).share[0] < 0.25


def test_known_shares():
    vectors = np.array([[3.0, 0], [-3, 0], [0, 1], [0, -1]])
    found = principal_components(vectors, centred=True)
    assert found.share == pytest.approx([0.9, 0.1])
    assert np.abs(found.direction[0]) == pytest.approx([1, 0], abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("centred", [False, True])
def test_an_isotropic_cloud_is_not_called_one_directional(centred, seed):
    vectors = np.random.default_rng(seed).normal(size=(120, WIDTH))
    assert more_than_chance(vectors, centred, seed) == 0


def test_unequal_lengths_alone_are_no_direction():
    generator = np.random.default_rng(3)
    vectors = generator.normal(size=(60, WIDTH)) * generator.pareto(1.5, size=(60, 1))
    assert more_than_chance(vectors, centred=False) == 0


def test_one_and_two_planted_directions_are_counted():
    assert more_than_chance(drifting(along=3.0), centred=False) == 1
    two = np.random.default_rng(0).normal(size=(300, WIDTH)) * np.array([5, 4] + [0.5] * 6)
    assert more_than_chance(two, centred=True) == 2


def test_the_null_has_the_mean_share_of_chance():
    *_, random = described(np.random.default_rng(0).normal(size=(500, WIDTH)), True)
    assert random.sum(axis=1) == pytest.approx(1)
    assert random.mean() == pytest.approx(1 / WIDTH)
    assert (random[:, 0] > 1 / WIDTH).all()


def test_the_null_does_not_know_the_common_motion_of_centred_vectors():
    still = drifting(along=0.0)
    moved = drifting(along=1000.0)
    shares = isotropic_shares([still, moved], [True, True], np.random.default_rng(0))
    assert shares[1] == pytest.approx(shares[0], abs=1e-4)


def test_the_band_holds_the_true_share_about_as_often_as_it_says():
    scales = np.array([3.0] + [1.0] * (WIDTH - 1))
    truth = 9 / (9 + WIDTH - 1)
    held = 0
    for seed in range(60):
        vectors = np.random.default_rng(seed).normal(size=(200, WIDTH)) * scales
        _, (low, high), _ = described(vectors, False, seed)
        held += low[0] <= truth <= high[0]
    assert held >= 50


def test_resampled_shares_are_those_of_repeated_rows():
    vectors = drifting(12)
    weights = resampling_weights(12, np.random.default_rng(0))[:5]
    moments = resampled_moments(vectors, weights)
    for centred in (False, True):
        found = moment_shares(moments, vectors, weights, centred)
        for weight, shares in zip(weights, found, strict=True):
            rows = np.repeat(vectors, np.round(weight * 12).astype(int), axis=0)
            assert shares == pytest.approx(principal_components(rows, centred).share, abs=1e-6)


def test_weights_sum_to_1_and_repeat():
    first, again = (resampling_weights(7, np.random.default_rng(4)) for _ in range(2))
    assert first.sum(axis=1) == pytest.approx(1)
    assert (first == again).all()
    assert resampling_weights(0, np.random.default_rng(4)).shape == (200, 0)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((0, 3)),
        np.zeros((5, 3)),
        np.full((4, 3), np.nan),
        np.array([[1.0, np.inf, 0]]),
    ],
)
@pytest.mark.parametrize("centred", [False, True])
def test_nothing_to_explain_is_nan(vectors, centred):
    found = principal_components(vectors, centred)
    assert np.isnan(found.share).all() and np.isnan(found.direction).all()
    (random,) = isotropic_shares([vectors], [centred], np.random.default_rng(0))
    assert np.isnan(random).all()


def test_equal_vectors_have_no_centred_variance():
    vectors = np.tile([0.1, 0.2, 0.7], (9, 1))
    assert np.isnan(principal_components(vectors, centred=True).share).all()
    assert principal_components(vectors, centred=False).share == pytest.approx([1, 0, 0])


def test_one_vector_is_its_own_component():
    found = principal_components(np.array([[0.0, -3.0, 4.0]]), centred=False)
    assert found.share == pytest.approx([1, 0, 0])
    assert np.abs(found.direction[0]) == pytest.approx([0, 0.6, 0.8])
    assert np.isnan(found.direction[1:]).all()


@given(st.integers(2, 20), st.integers(1, 6), st.floats(1e-6, 1e6), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_shares_sum_to_1_and_do_not_depend_on_size_or_rotation(count, width, size, seed):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(count, width))
    rotation = np.linalg.qr(generator.normal(size=(width, width)))[0]
    share = principal_components(vectors, centred=False).share
    turned = principal_components(size * vectors @ rotation, centred=False).share
    assert share.sum() == pytest.approx(1)
    assert (np.diff(share) <= 1e-12).all()
    assert turned == pytest.approx(share, abs=1e-9)


def test_shares_of_a_zero_matrix_are_nan():
    shares = shares_of(np.stack([np.diag([3.0, 1.0]), np.zeros((2, 2))]))
    assert shares[0].tolist() == [0.75, 0.25]
    assert np.isnan(shares[1]).all()


@pytest.mark.parametrize(
    "low, high, count",
    [
        ([0.9, 0.1], [0.5, 0.5], 1),
        ([0.9, 0.6], [0.5, 0.5], 2),
        ([0.4, 0.6], [0.5, 0.5], 0),
        ([np.nan, np.nan], [0.5, 0.5], 0),
        ([0.9, np.nan], [0.5, np.nan], 1),
    ],
)
def test_components_above_the_null_are_counted_from_the_first(low, high, count):
    assert count_above(np.array(low), np.array(high)) == count


def test_the_mean_alone_explains_what_is_common():
    assert common_share(np.array([[1.0, 0], [1, 0]])) == 1
    assert common_share(np.array([[1.0, 0], [-1, 0]])) == 0
    assert common_share(np.array([[3.0, 4], [3, -4]])) == pytest.approx(9 / 25)
    assert np.isnan(common_share(np.zeros((2, 3)))) and np.isnan(common_share(np.zeros((0, 3))))


def test_the_first_raw_component_explains_no_less_than_the_mean():
    generator = np.random.default_rng(8)
    for offset in (0.0, 0.5, 5.0):
        vectors = generator.normal(size=(60, 4)) + offset
        first = principal_components(vectors, centred=False).share[0]
        assert first >= common_share(vectors) - 1e-12
    independent = [common_share(generator.normal(size=(50, 4))) for _ in range(2000)]
    assert np.mean(independent) == pytest.approx(1 / 50, rel=0.05)
