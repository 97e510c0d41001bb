"""Clouds with known centroids, shapes and coherence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.drift.cloud import (
    CloudSums,
    covariance_sum,
    effective_dimension,
    follow_path,
    isotropy,
    pairwise_cosine,
    spectra,
)


def sums_of(W, displacement, tile=3):
    sums = CloudSums(*W.shape[1:])
    for start in range(0, len(W), tile):
        sums.add(W[start : start + tile], displacement[start : start + tile])
    return sums


def motion_of(displacement, tile=3):
    """Return the motion for displacements, (tokens, components), of one update."""
    steps = np.asarray(displacement, np.float32)[:, :, None]
    return sums_of(np.ones_like(steps), steps, tile).motion()


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_positions_are_numpys():
    W = random((11, 5, 4)) + 3
    positions = sums_of(W, np.zeros_like(W)).positions()
    exact = W.astype(np.float64)
    distances = np.linalg.norm(exact - exact.mean(axis=0), axis=1)
    assert positions.centroid == pytest.approx(exact.mean(axis=0).T, rel=1e-12)
    assert positions.mean_norm == pytest.approx(np.linalg.norm(exact, axis=1).mean(axis=0))
    assert positions.radius == pytest.approx(np.sqrt((distances**2).mean(axis=0)), rel=1e-5)


def test_the_cloud_on_a_cross_has_its_shape():
    W = np.array([[5, 1, 0], [-1, 1, 0], [2, 2, 0], [2, 0, 0]], np.float32)[:, :, None]
    centroid = np.array([[2.0, 1.0, 0.0]])
    eigenvalues = spectra(covariance_sum(W, centroid) / 4)
    assert eigenvalues[0] == pytest.approx([4.5, 0.5, 0])
    assert effective_dimension(eigenvalues)[0] == pytest.approx(25 / 20.5)
    assert sums_of(W, np.zeros_like(W)).positions().radius[0] == pytest.approx(np.sqrt(5))


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_effective_dimension_lies_between_1_and_d(components, seed):
    eigenvalues = np.random.default_rng(seed).exponential(size=components)
    assert effective_dimension(eigenvalues) >= 1 - 1e-12
    assert effective_dimension(eigenvalues) <= components * (1 + 1e-12)


def test_a_spectrum_that_is_not_finite_is_nan():
    matrices = np.stack([np.eye(2), np.full((2, 2), np.nan)])
    assert spectra(matrices)[0].tolist() == [1, 1]
    assert np.isnan(spectra(matrices)[1]).all()


def brute_force_cosine(vectors):
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [a @ b for i, a in enumerate(units) for b in units[i + 1 :]]
    return np.mean(pairs)


@given(st.integers(2, 15), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_mean_pairwise_cosine_is_that_of_all_pairs(tokens, components, seed):
    vectors = random((tokens, components), seed)
    assert motion_of(vectors).pairwise_cosine[0] == pytest.approx(
        brute_force_cosine(vectors.astype(np.float64)), abs=2e-5
    )


def test_tokens_at_rest_are_no_pair():
    vectors = np.array([[1, 0], [0, 2], [0, 0]])
    motion = motion_of(vectors)
    assert motion.movers.tolist() == [2]
    assert motion.pairwise_cosine[0] == pytest.approx(0, abs=1e-7)
    assert motion.resultant_length[0] == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize(
    "vectors, resultant, cosine, share",
    [
        ([[3, 4]] * 5, 1, 1, 1),  # all alike
        ([[3, 4], [6, 8]], 1, 1, 0.9),  # one way, unlike lengths
        ([[1, 0], [-1, 0]], 0, -1, 0),  # apart
        ([[1, 0], [0, 1], [-1, 0], [0, -1]], 0, -1 / 3, 0),
        ([[2, 0], [0, 0], [0, 0], [0, 0]], 1, np.nan, 0.25),  # one of four hops
        ([[0, 0], [0, 0]], np.nan, np.nan, np.nan),  # nobody moves
    ],
)
def test_coherence_and_bulk_share_of_known_motion(vectors, resultant, cosine, share):
    motion = motion_of(vectors)
    with np.errstate(invalid="ignore"):
        found = motion.bulk / motion.mean_square
    assert motion.resultant_length[0] == pytest.approx(resultant, abs=1e-6, nan_ok=True)
    assert motion.pairwise_cosine[0] == pytest.approx(cosine, abs=1e-6, nan_ok=True)
    assert found[0] == pytest.approx(share, abs=1e-6, nan_ok=True)


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_bulk_and_thermal_squares_sum_to_the_mean_square(tokens, seed):
    vectors = random((tokens, 4), seed)
    exact = vectors.astype(np.float64)
    thermal = np.square(exact - exact.mean(axis=0)).sum(axis=1).mean()
    motion = motion_of(vectors)
    assert motion.mean_square[0] - motion.bulk[0] == pytest.approx(thermal, rel=1e-4, abs=1e-6)


def test_independent_directions_are_not_coherent():
    """Negative control: the bulk's share is one over the number of tokens, the cosine zero."""
    vectors = random((4000, 30))
    motion = motion_of(vectors, tile=500)
    assert abs(motion.pairwise_cosine[0]) < 1e-3
    assert motion.bulk[0] / motion.mean_square[0] == pytest.approx(1 / 4000, rel=0.5)


def test_few_movers_look_coherent_by_resultant_but_not_by_pairs():
    found = [motion_of(random((3, 60), seed)) for seed in range(200)]
    assert np.mean([motion.resultant_length[0] for motion in found]) > 0.5
    assert np.mean([motion.pairwise_cosine[0] for motion in found]) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("tile", [1, 4, 100])
def test_tiles_do_not_matter(tile):
    displacement = random((10, 3, 5))
    whole, tiled = (sums_of(displacement, displacement, size) for size in (100, tile))
    assert tiled.motion().bulk == pytest.approx(whole.motion().bulk, rel=1e-6)
    assert tiled.motion().resultant_length == pytest.approx(whole.motion().resultant_length)
    assert tiled.positions().radius == pytest.approx(whole.positions().radius, rel=1e-6)


def test_an_empty_cloud_is_nan():
    sums = CloudSums(3, 2)
    assert np.isnan(sums.positions().centroid).all()
    assert np.isnan(sums.positions().radius).all()
    assert np.isnan(sums.motion().bulk).all()
    assert sums.motion().movers.tolist() == [0, 0]


def test_pairwise_cosine_of_fewer_than_two_is_nan():
    assert np.isnan(pairwise_cosine(np.array([np.nan, 1.0]), np.array([0, 1]))).all()


def test_a_path_with_a_corner():
    path = follow_path(np.array([[0, 0], [3, 0], [3, 0], [3, 4], [3, 2]], float))
    assert path.length.tolist() == [0, 3, 3, 7, 9]
    assert path.efficiency[1:] == pytest.approx([1, 1, 5 / 7, np.sqrt(13) / 9])
    assert np.isnan(path.efficiency[0])
    assert path.cosine == pytest.approx([np.nan, np.nan, np.nan, -1], nan_ok=True)


@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_efficiency_is_at_most_1(states, seed):
    path = follow_path(np.random.default_rng(seed).normal(size=(states, 3)))
    assert (path.efficiency[1:] <= 1 + 1e-12).all()
    assert (np.diff(path.length) >= 0).all()


def test_a_straight_path_is_fully_efficient():
    straight = follow_path(np.arange(5)[:, None] * np.array([[1.0, -2.0]]))
    assert straight.efficiency[1:] == pytest.approx(1)
    assert straight.cosine[1:] == pytest.approx(1)


def test_isotropy_of_known_clouds():
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    assert isotropy(axes) == pytest.approx(1)
    common = np.tile([2.0, 0, 0], (7, 1))  # exp(-2) against exp(2)
    assert isotropy(common) == pytest.approx(np.exp(-4))
    assert isotropy(300 * common) == pytest.approx(0)  # no overflow
    assert np.isnan(isotropy(np.zeros((0, 3))))
    assert np.isnan(isotropy(np.full((2, 3), np.inf)))
