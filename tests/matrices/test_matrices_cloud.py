"""The cloud of unused rows: Gaussian ones of known place and shape, and what is none."""

import numpy as np
import pytest
import scipy.spatial
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.drift.cloud import effective_dimension
from deadtokens.matrices.cloud import FEWEST, INSIDE, VARIABLES, describe_cloud, shell
from deadtokens.matrices.indicators import moments
from deadtokens.matrices.matrix import Array
from deadtokens.ulp import spacing

WIDTH, CLOUD, OTHERS = 48, 600, 1400
FORMATS = ("float32", "bfloat16")


def described(rows, cloud, format="float32"):
    rows = np.asarray(rows, np.float32)
    matrix = Array("W", *rows.shape, format, rows)
    return describe_cloud(matrix, moments(matrix), np.asarray(cloud))


def planted(seed=0, deviation=0.02, centroid=0.3, inside=0):
    """Return a Gaussian cloud about a point, and other rows, of which some lie as its own do."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(0, 1, (CLOUD + OTHERS, WIDTH))
    rows[: CLOUD + inside] *= deviation
    rows[: CLOUD + inside] += centroid
    return rows.astype(np.float32), np.arange(CLOUD + OTHERS) < CLOUD


def test_place_and_shape_are_those_of_numpy():
    rows, cloud = planted()
    found = described(rows, cloud)
    assert found.keys() == VARIABLES.keys()
    own, other = rows[cloud].astype(np.float64), rows[~cloud].astype(np.float64)
    assert found["cloud_centroid"] == pytest.approx(own.mean(0), rel=1e-6)
    assert found["other_centroid"] == pytest.approx(other.mean(0), rel=1e-5, abs=1e-6)
    assert found["cloud_radius"] == pytest.approx(np.sqrt(own.var(0).sum()), rel=1e-9)
    assert found["other_radius"] == pytest.approx(np.sqrt(other.var(0).sum()), rel=1e-5)
    assert found["cloud_deviation"] == pytest.approx(own.std(0), rel=1e-6)
    ulps = spacing(rows[cloud], "float32").mean(0)
    assert found["cloud_units"] == pytest.approx(own.std(0) / ulps, rel=1e-6)
    apart = own.mean(0) - other.mean(0)
    assert found["cloud_distance"] == pytest.approx(np.linalg.norm(apart), rel=1e-6)
    cosine = 1 - scipy.spatial.distance.cosine(own.mean(0), other.mean(0))
    assert found["cloud_cosine"] == pytest.approx(cosine, abs=1e-6)
    distances = np.linalg.norm(rows.astype(np.float64) - own.mean(0), axis=1)
    assert found["to_centroid"] == pytest.approx(distances, rel=1e-5)


def test_the_plane_has_the_largest_variances():
    generator = np.random.default_rng(1)
    rows, cloud = planted()
    deviations = np.full(WIDTH, 0.01)
    deviations[[5, 9]] = 0.05, 0.03
    rows[cloud] = generator.normal(0.3, deviations, (CLOUD, WIDTH))
    found = described(rows, cloud)
    along = found["plane"][cloud]
    assert along.std(0) == pytest.approx([0.05, 0.03], rel=0.1)
    away = rows[:, [5, 9]] - found["cloud_centroid"][[5, 9]]
    assert np.abs(np.corrcoef(along.T, away[cloud].T)[[0, 1], [2, 3]]) == pytest.approx(1, abs=0.02)
    # To the side of the other rows both axes are positive.
    assert (found["plane"][~cloud].mean(0) > 0).all()


@pytest.mark.parametrize("tokens", [12, 60, 600])
def test_the_effective_dimension_does_not_depend_on_how_few_rows_there_are(tokens):
    deviations = np.linspace(0.5, 2, WIDTH)
    truth = effective_dimension(deviations**2)
    naive, ours = [], []
    for seed in range(60):
        rows = np.random.default_rng(seed).normal(0, 1, (tokens + 1, WIDTH)) * deviations
        cloud = np.arange(tokens + 1) < tokens
        ours.append(described(rows, cloud)["cloud_dimension"])
        spectrum = np.linalg.eigvalsh(np.cov(rows[cloud].T)).clip(min=0)
        naive.append(effective_dimension(spectrum))
    assert np.median(ours) == pytest.approx(truth, rel=0.06)
    if tokens == 12:
        assert np.median(naive) < 0.4 * truth  # negative control


def test_a_gaussian_cloud_is_in_its_shell_and_so_are_rows_like_its_own():
    rows, cloud = planted(inside=200)
    found = described(rows, cloud)
    assert found["shell_of_cloud"] == pytest.approx(INSIDE, abs=0.02)
    outside = (1 - INSIDE) / 2
    assert found["shell_of_others"] == pytest.approx(200 * (1 - outside), abs=6)
    assert found["cloud_dimension"] == pytest.approx(WIDTH, rel=0.02)


def test_a_cloud_that_is_no_gaussian_is_not_in_it():
    """Negative control: one half of its rows is at half, the other at twice the distance."""
    rows, cloud = planted(centroid=0.0)
    rows[:CLOUD:2] *= 0.5
    rows[1:CLOUD:2] *= 2
    found = described(rows, cloud)
    assert found["shell_of_cloud"] < 0.2


def test_a_cloud_a_millionth_of_its_distance_from_zero_keeps_its_radius():
    generator = np.random.default_rng(2)
    rows = generator.normal(0, 1, (900, WIDTH)).astype(np.float32)
    ulp = np.float32(2.0**-23)
    steps = generator.integers(-4, 5, (400, WIDTH)).astype(np.float32)
    rows[:400] = 1 + np.where(steps < 0, steps * ulp / 2, steps * ulp)
    found = described(rows, np.arange(900) < 400)
    expected = rows[:400].astype(np.float64).std(0)
    assert found["cloud_deviation"] == pytest.approx(expected, rel=1e-6)
    assert 1 < found["cloud_units"].min() < found["cloud_units"].max() < 4


def test_rows_on_one_vector_have_no_width():
    rows, cloud = planted()
    rows[cloud] = rows[0]
    found = described(rows, cloud)
    assert found["cloud_radius"] == 0 and (found["cloud_units"] == 0).all()
    assert np.isnan(found["cloud_dimension"])
    assert found["shell_of_cloud"] == 1 and found["shell_of_others"] == 0


def test_units_are_those_of_the_format():
    rows, cloud = planted()
    coarse = (rows.view(np.uint32) & 0xFFFF0000).view(np.float32)
    fine, wide = (described(coarse, cloud, name)["cloud_units"] for name in FORMATS)
    assert fine / wide == pytest.approx(2.0**16)


def test_rows_that_are_no_numbers_are_in_no_centroid():
    rows, cloud = planted()
    expected = described(rows[2:], cloud[2:])
    rows[0, 3], rows[1, :] = np.nan, np.inf
    found = described(rows, cloud)
    assert found["cloud_tokens"] == CLOUD - 2
    assert found["cloud_radius"] == pytest.approx(expected["cloud_radius"])
    assert found["shell_of_others"] == expected["shell_of_others"]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_matrix_may_be_narrow(width):
    rows = np.random.default_rng(0).normal(0, 1, (50, width))
    found = described(rows, np.arange(50) < 20)
    assert found["plane"].shape == (50, 2)
    places = np.sort(np.abs(found["plane"][:20, 0]))
    if width == 1:
        assert places == pytest.approx(np.sort(found["to_centroid"][:20]), rel=1e-5)
        assert (found["plane"][:, 1] == 0).all()


def test_a_direction_in_which_nothing_differs_stops_nothing():
    """Differences whose sum over the components is zero, and rows that do not differ at all."""
    signs = np.random.default_rng(0).normal(0, 1, (40, 1))
    rows = np.concatenate([signs * [1, -1, 0, 0], np.ones((10, 4))])
    found = described(rows, np.arange(50) < 40)
    assert found["cloud_dimension"] == pytest.approx(1, abs=0.1)
    assert np.abs(found["plane"][:40, 0]) == pytest.approx(
        np.sqrt(2) * np.abs(signs[:, 0] - signs.mean()), rel=1e-5
    )


def test_numbers_whose_squares_are_none_are_described_as_far_as_they_are_numbers():
    rows, cloud = planted()
    expected = described(rows, cloud)["cloud_radius"]
    rows[~cloud] *= np.float32(1e30)
    with np.errstate(over="ignore", invalid="ignore"):
        found = described(rows, cloud)
        rows[cloud] = np.nan
        assert described(rows, cloud) == {}
    assert not np.isfinite(found["other_radius"])
    assert found["cloud_radius"] == pytest.approx(expected)


@pytest.mark.parametrize("tokens", [0, 1, FEWEST - 1, CLOUD + OTHERS])
def test_too_few_rows_are_no_cloud_and_all_are_none(tokens):
    rows, _ = planted()
    assert described(rows, np.arange(len(rows)) < tokens) == {}


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 400), st.floats(1e-6, 1e3))
def test_the_shell_holds_its_share_of_a_ball(dimension, variance):
    low, high = shell(variance, dimension)
    generator = np.random.default_rng(0)
    distances = np.sqrt(variance / dimension * generator.chisquare(dimension, 20_000))
    assert np.mean((distances >= low) & (distances <= high)) == pytest.approx(INSIDE, abs=0.01)
