"""Random walks against their theory, and straight paths against them."""

import numpy as np
import pytest

from deadtokens.drift.components import principal_components
from deadtokens.drift.labels import PERSISTENT, WALKS
from deadtokens.drift.walk import describe_walks, walk_efficiency, walk_shares


def walks(norms, width, number, seed, alike=0.0):
    """Return walks whose directions are unit vectors, each like its neighbour by `alike`."""
    generator = np.random.default_rng(seed)
    fresh = generator.normal(size=(number, len(norms), width))
    fresh /= np.linalg.norm(fresh, axis=2, keepdims=True)
    steps = fresh.copy()
    for step in range(1, len(norms)):
        rest = (
            fresh[:, step]
            - (fresh[:, step] * steps[:, step - 1]).sum(1, keepdims=True) * (steps[:, step - 1])
        )
        rest /= np.linalg.norm(rest, axis=1, keepdims=True)
        steps[:, step] = alike * steps[:, step - 1] + np.sqrt(1 - alike**2) * rest
    steps = (fresh if alike == 0 else steps) * np.asarray(norms)[:, None]
    return np.concatenate([np.zeros((number, 1, width)), np.cumsum(steps, axis=1)], axis=1)


@pytest.mark.parametrize("alike", [0.0, 0.6])
@pytest.mark.parametrize("width", [2, 16])
def test_the_efficiency_is_that_of_drawn_walks(width, alike):
    norms = np.geomspace(1, 0.05, 40)
    drawn = walks(norms, width, 4000, seed=width, alike=alike)
    distance = np.linalg.norm(drawn, axis=2)
    found = np.sqrt(np.square(distance).mean(axis=0))[1:] / np.cumsum(norms)
    assert walk_efficiency(norms, alike)[1:] == pytest.approx(found, rel=0.03)


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("span", [1, 2, 10])
def test_recorded_steps_that_are_sums_are_as_alike_as_such_sums(alike, span):
    """Against the sum over all pairs of updates."""
    steps = 6
    places = np.arange(steps * span)
    pairs = alike ** np.abs(places[:, None] - places)
    sums = pairs.reshape(steps, span, steps, span).sum((1, 3))
    cosines = sums / sums[0, 0]
    expected = [np.sqrt(cosines[:n, :n].sum()) / n for n in range(1, steps + 1)]
    assert walk_efficiency(np.ones(steps), alike, span)[1:] == pytest.approx(expected)


def test_the_efficiency_of_equal_steps_is_one_over_the_root_of_their_number():
    efficiency = walk_efficiency(np.full(400, 3.0))
    assert np.isnan(efficiency[0])
    assert efficiency[1:] == pytest.approx(1 / np.sqrt(np.arange(1, 401)))


def test_steps_that_are_all_alike_make_a_straight_path():
    assert walk_efficiency(np.geomspace(1, 9, 20), alike=1.0)[1:] == pytest.approx(1)


def test_rest_after_motion_changes_nothing():
    still = walk_efficiency(np.array([0.0, 1, 1, 0, 0]))
    assert np.isnan(still[:2]).all()
    assert still[2:] == pytest.approx([1, *[1 / np.sqrt(2)] * 3])


def test_components_of_a_long_walk_are_those_of_cosines():
    """6 / (pi k)^2 in the limit; in D dimensions some k / D from it, here 2 % at k = 4."""
    shares = np.median(walk_shares(np.ones(600), 200, np.random.default_rng(0)), axis=0)
    assert shares[:4] == pytest.approx(6 / (np.pi * np.arange(1, 5)) ** 2, rel=0.03)


def test_shares_are_those_of_scikit_learn():
    norms = np.geomspace(1, 0.01, 60)
    found = walk_shares(norms, 3, np.random.default_rng(1))
    expected = [
        principal_components(path, centred=True).share for path in walks(norms, 3, 2000, seed=2)
    ]
    assert np.mean(found, axis=0) == pytest.approx(np.mean(expected, axis=0), abs=0.02)
    assert found.sum(axis=1) == pytest.approx(1)


def described(path, beta1=0.9):
    share = principal_components(path, centred=True).share
    found = describe_walks({"dead": path, "live": path}, share, beta1, np.random.default_rng(3))
    return found | dict(zip(WALKS, found["walk_efficiency"][-1, 0], strict=True))


def test_a_walk_has_no_component_beyond_walks_and_a_line_has_one():
    norms = np.geomspace(1, 0.1, 300)
    walk = described(walks(norms, 8, 1, seed=4)[0])
    assert walk["path_components_above_walk"] == 0
    line = described(np.cumsum(norms)[:, None] * np.ones(8) / np.sqrt(8))
    assert line["path_components_above_walk"] == 1


def test_the_plane_of_walks_is_each_walks_own():
    """Quantiles of a sum, which are not the sum of the components' quantiles."""
    norms = np.geomspace(1, 0.01, 60)
    flat = described(walks(norms, 2, 1, seed=8)[0])
    assert flat["walk_plane_share"] == pytest.approx(1)
    assert flat["walk_share"][:, 2].sum() > 1.01
    path = walks(norms, 6, 1, seed=9)[0]
    drawn = walk_shares(np.linalg.norm(np.diff(path, axis=0), axis=1), 6, np.random.default_rng(3))
    found = described(path)
    assert found["walk_plane_share"][1] == np.median(drawn[:, 0] + drawn[:, 1])
    assert found["walk_plane_share"][1] != found["walk_share"][:2, 1].sum()


def test_chance_calls_a_walk_straight_about_once_in_forty():
    """The null's upper end is its quantile of 97.5 %, here that of ten nulls in the mean."""
    norms = np.geomspace(1, 0.1, 50)
    nulls = [walk_shares(norms, 5, np.random.default_rng(seed)) for seed in range(10)]
    high = np.quantile(nulls, 0.975, axis=1)[:, :1]
    drawn = walks(norms, 5, 1000, seed=6)
    first = np.array([principal_components(path, centred=True).share[0] for path in drawn])
    assert np.mean(first > high) == pytest.approx(0.03, abs=0.015)


def test_momentum_makes_a_walk_straighter():
    found = described(walks(np.ones(200), 8, 1, seed=7)[0])
    root = np.sqrt(1 + 2 * sum((1 - k / 200) * 0.9**k for k in range(1, 200)))
    assert found[PERSISTENT] == pytest.approx(root / np.sqrt(200))


def test_without_motion_nothing_is_said():
    found = described(np.zeros((5, 3)))
    assert np.isnan(found["walk_share"]).all() and np.isnan(found["walk_efficiency"]).all()
    assert found["path_components_above_walk"] == 0
