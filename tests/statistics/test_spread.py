"""The spread of rows that lie far from zero, against the definition in a wider format."""

import numpy as np
import pytest

from deadtokens.statistics.spread import Spread


def spread_of(rows, tile=3):
    spread = Spread(*rows.shape[1:])
    for start in range(0, len(rows), tile):
        spread.add(rows[start : start + tile])
    return spread


def defined(rows):
    """The centroid and the mean squared distance from it, as they are defined."""
    exact = rows.astype(np.longdouble)
    centroid = exact.mean(axis=0)
    return centroid, np.square(exact - centroid).sum(axis=1).mean(axis=0)


@pytest.mark.parametrize("radii", [0, 1, 38, 1e4])
def test_a_cloud_many_radii_away_has_the_radius_of_its_definition(radii):
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(200, 8, 5)) * 0.02
    rows = (rows + radii * 0.02 * np.sqrt(8)).astype(np.float32)
    centroid, variance = defined(rows)
    spread = spread_of(rows)
    assert spread.variance == pytest.approx(variance.astype(float), rel=1e-12)
    assert spread.centroid == pytest.approx(centroid.astype(float), rel=1e-12)


def test_squares_in_float32_lose_such_a_radius():
    """The control: mean square less squared mean, as it must not be computed."""
    generator = np.random.default_rng(1)
    rows = (generator.normal(size=(200, 8, 1)) * 0.02 + 0.76).astype(np.float32)
    square = np.einsum("rcs,rcs->s", rows, rows).astype(float) / 200
    naive = square - np.square(rows.mean(axis=0, dtype=float)).sum(axis=0)
    assert naive != pytest.approx(defined(rows)[1].astype(float), rel=1e-5)


def test_rows_that_are_one_have_no_spread():
    rows = np.full((7, 3, 2), np.float32(0.1))
    assert (spread_of(rows).variance == 0).all()


def test_no_rows_have_no_place():
    spread = Spread(3, 2)
    spread.add(np.zeros((0, 3, 2), np.float32))
    assert np.isnan(spread.centroid).all() and np.isnan(spread.variance).all()
