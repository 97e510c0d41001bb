"""What one update does to one token: planted steps of known size, and a slow other way."""

import ml_dtypes
import numpy as np
import pytest
import torch
from ulps import origin_ulps, ulp_distance

from deadtokens.freezing.steps import EARLY, FROZEN, LATE, MIDLIFE, measure_steps

BFLOAT16, RECORDED = 0, 1


def measured(W, before=None, format="bfloat16"):
    """Measure float32 values W, (tokens, components, states)."""
    bits = np.ascontiguousarray(W, np.float32).view(np.uint32)
    if format == "bfloat16":
        bits = (bits >> 16).astype(np.uint16)
    if before is None:
        before = np.full(W.shape[:2], np.nan, np.float32)
    return measure_steps(bits, before.copy())


def random_walk(seed, format):
    generator = np.random.default_rng(seed)
    W = generator.normal(0, 0.02, (6, 9, 1)) + generator.normal(0, 1e-3, (6, 9, 12)).cumsum(2)
    W[:2] = W[:2, :, :1]  # two tokens that stand
    return W.astype(ml_dtypes.bfloat16 if format == "bfloat16" else np.float32).astype(np.float32)


@pytest.mark.parametrize("format", ["bfloat16", "float32"])
def test_norms_are_those_of_the_slow_way(format):
    W = random_walk(1, format)
    before, after = W[:, :, :-1], W[:, :, 1:]
    steps = measured(W, format=format)
    for grid, name in ((BFLOAT16, "bfloat16"), (RECORDED, format)):
        apart = ulp_distance(before, after, name).astype(float)
        assert steps.l1[grid] == pytest.approx(apart.sum(1), rel=1e-6)
        assert steps.l2[grid] == pytest.approx(np.sqrt((apart**2).sum(1)), rel=1e-6)
        assert steps.linf[grid] == pytest.approx(apart.max(1), rel=1e-6)
        assert (steps.moved[grid] == (apart > 0).sum(1)).all()
    displacement = after.astype(float) - before
    assert steps.displacement == pytest.approx(np.linalg.norm(displacement, axis=1), rel=1e-5)
    in_ulps = origin_ulps(displacement, before, "bfloat16")
    assert steps.ulps_l2 == pytest.approx(np.linalg.norm(in_ulps, axis=1), rel=1e-4)
    assert steps.ulps_linf == pytest.approx(np.abs(in_ulps).max(1), rel=1e-4)
    second = np.diff(W.astype(float), n=2, axis=2)
    assert np.isnan(steps.acceleration[:, 0]).all()
    assert steps.acceleration[:, 1:] == pytest.approx(np.linalg.norm(second, axis=1), rel=1e-4)


def test_the_acceleration_goes_on_from_the_update_before():
    W = random_walk(2, "bfloat16")
    whole = measured(W).acceleration
    later = measured(W[:, :, 5:], before=W[:, :, 5] - W[:, :, 4]).acceleration
    assert (later == whole[:, 5:]).all()


def stepped(*ulps):
    """Return one token of four components at 1, moved once by so many bfloat16 ulps."""
    before = np.ones((1, 4, 1), np.float32)
    after = before + np.array(ulps, np.float32)[None, :, None] * 2.0**-7
    return np.concatenate([before, after], axis=2)


@pytest.mark.parametrize(
    ("ulps", "phase"),
    [
        ((0, 0, 0, 0), FROZEN),
        ((0, 1, 0, 0), LATE),
        ((1, 1, 1, 1), LATE),  # L2 is 2, the root of 4 components, and not above it
        ((2, 0, 0, 0), MIDLIFE),
        ((2, 1, 0, 0), EARLY),
        ((50, 0, 0, 0), EARLY),
    ],
)
def test_phases_of_planted_steps(ulps, phase):
    assert measured(stepped(*ulps)).phases(components=4)[:, 0, 0].tolist() == [phase, phase]


def test_a_step_across_a_power_of_two_is_one_ulp():
    W = np.array([1.0, 1 - 2.0**-8], np.float32).reshape(1, 1, 2)
    steps = measured(W)
    assert steps.l1[BFLOAT16, 0, 0] == 1
    assert steps.ulps_linf[0, 0] == 0.5  # origin's ulp is that of the starting point


def test_zeros_of_other_sign_differ_in_a_bit_and_by_no_ulp():
    steps = measured(np.array([0.0, -0.0], np.float32).reshape(1, 1, 2))
    assert steps.l1[RECORDED, 0, 0] == 0
    assert steps.moved[RECORDED, 0, 0] == 1
    assert steps.phases(components=1)[RECORDED, 0, 0] == LATE


def test_a_float32_weight_can_creep_within_bfloat16s_grid():
    W = np.array([1.0, 1 + 2.0**-20], np.float32).reshape(1, 1, 2)
    steps = measured(W, format="float32")
    assert steps.phases(components=1)[:, 0, 0].tolist() == [FROZEN, EARLY]
    assert steps.l1[:, 0, 0].tolist() == [0, 8]
    assert steps.ulps_linf[0, 0] == 2.0**-13


def test_a_float32_weight_counts_as_the_bfloat16_that_a_cast_makes_of_it():
    """Across the middle between two of the grid's numbers is a step; across one of them is none."""
    spacing = 2.0**-7
    crossing = np.float32([1 + 0.45 * spacing, 1 + 0.55 * spacing]).reshape(1, 1, 2)
    passing = np.float32([1 + 0.95 * spacing, 1 + 1.05 * spacing]).reshape(1, 1, 2)
    assert measured(crossing, format="float32").l1[BFLOAT16, 0, 0] == 1
    assert measured(passing, format="float32").moved[BFLOAT16, 0, 0] == 0
    walk = random_walk(3, "float32")
    cast = torch.from_numpy(walk).bfloat16().float().numpy()
    for name in ("l1", "l2", "linf", "moved"):
        counted = getattr(measured(walk, format="float32"), name)[BFLOAT16]
        assert (counted == getattr(measured(cast), name)[BFLOAT16]).all()


def test_a_nan_that_stays_is_still():
    W = np.full((1, 2, 2), np.nan, np.float32)
    assert measured(W).phases(components=2)[RECORDED, 0, 0] == FROZEN
