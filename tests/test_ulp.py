"""ulp arithmetic against an independent method: the neighbours that nextafter gives."""

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ulps import ordered, ordered_bits, origin_ulps, ulp_distance

from deadtokens.freezing.steps import _distances, _find_places, _in_bfloat16_ulps, values_of
from deadtokens.ulp import (
    half_ulp_walls,
    half_ulps,
    nearest_bfloat16,
    spacing,
)

# All 65,536 patterns but NaN and infinities.
PATTERNS = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16)
FINITE = PATTERNS[np.isfinite(PATTERNS.astype(np.float32))]
LARGEST = np.float32(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
COMPILED = settings(deadline=None)  # when it is first called
SINGLES = st.floats(-(2.0**127), 2.0**127, width=32)  # with a finite neighbour


def away_from_zero(values):
    """Return the next number of larger magnitude, in the values' own type."""
    infinity = np.array(np.inf, values.dtype)
    return np.where(
        np.signbit(values), np.nextafter(values, -infinity), np.nextafter(values, infinity)
    )


def towards_zero(values):
    return np.nextafter(values, np.zeros_like(values))


def test_spacing_of_every_bfloat16_is_the_gap_to_its_neighbour():
    values = FINITE[np.abs(FINITE.astype(np.float32)) < LARGEST]
    gap = np.abs(away_from_zero(values).astype(np.float64) - values.astype(np.float64))
    assert (spacing(values.astype(np.float32), "bfloat16") == gap).all()


def test_spacing_of_every_float16_is_the_gap_to_its_neighbour():
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values) & (np.abs(values) < np.finfo(np.float16).max)]
    gap = np.abs(away_from_zero(values).astype(np.float64) - values.astype(np.float64))
    assert (spacing(values.astype(np.float32), "float16") == gap).all()
    smallest = 2.0**-14  # of the normal numbers, whose spacing is that of the subnormals below
    assert spacing(np.float32([0, smallest / 2, smallest]), "float16").tolist() == [2.0**-24] * 3


def test_spacing_of_normal_bfloat16_is_origins_formula():
    values = FINITE[np.abs(FINITE.astype(np.float32)) >= 2.0**-126].astype(np.float32)
    biased = (values.view(np.uint32) >> 23) & 0xFF
    assert (spacing(values, "bfloat16") == 2.0 ** (biased.astype(float) - 134)).all()


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_the_nearest_bfloat16_is_that_of_torchs_cast(patterns):
    bits = np.array(patterns, np.uint32)
    found = nearest_bfloat16(bits)
    cast = torch.from_numpy(bits.view(np.float32)).bfloat16().view(torch.int16).numpy()
    nan = np.isnan(bits.view(np.float32))
    assert (found == cast.view(np.uint16))[~nan].all()
    assert (np.isnan(found.view(ml_dtypes.bfloat16)) == nan).all()


def test_ties_go_to_the_even_neighbour_and_the_largest_to_infinity():
    one, odd, past = 0x3F80_8000, 0x3F81_8000, 0x7F7F_8000
    found = nearest_bfloat16(np.array([one - 1, one, one + 1, odd - 1, odd, past], np.uint32))
    assert found.tolist() == [0x3F80, 0x3F80, 0x3F81, 0x3F81, 0x3F82, 0x7F80]


def test_distances_on_bfloat16s_grid_are_between_nearest_numbers():
    below, above = np.float32([1 + 0.45 * 2**-7, 1 + 0.55 * 2**-7])
    assert ulp_distance(below, above, "bfloat16") == 1
    assert ulp_distance(above, np.float32(1 + 2**-7), "bfloat16") == 0


def test_order_of_all_bfloat16():
    ordered = ordered_bits(np.sort(FINITE.astype(np.float32)), "bfloat16")
    assert set(np.diff(ordered)) == {0, 1}  # 0 between the two zeros alone
    assert (np.diff(ordered) == 0).sum() == 1
    assert ordered_bits(np.float32([0.0, -0.0, 1.0, -1.0]), "bfloat16").tolist() == [
        0,
        0,
        0x3F80,
        -0x3F80,
    ]


@given(st.integers(0, len(FINITE) - 1), st.integers(0, len(FINITE) - 1))
def test_distance_counts_the_numbers_between(one, other):
    ordered = np.unique(FINITE.astype(np.float32))
    before, after = FINITE[one].astype(np.float32), FINITE[other].astype(np.float32)
    expected = abs(np.searchsorted(ordered, after) - np.searchsorted(ordered, before))
    assert ulp_distance(before, after, "bfloat16") == expected


@given(SINGLES)
def test_spacing_and_distance_of_float32(value):
    value = np.float32(value)
    neighbour = away_from_zero(value)
    assert spacing(value, "float32") == abs(float(neighbour) - float(value))
    assert ulp_distance(value, neighbour, "float32") == 1
    assert spacing(value, "float32") == np.abs(np.spacing(np.float32(abs(value))), dtype=float)


def rounded(values):
    """Round float64 to bfloat16 by torch, an independent implementation of nearest-even."""
    # Through float32 the rounding would happen twice; the moves here are exact in float32.
    singles = values.astype(np.float32)
    assert (singles == values).all()
    return torch.from_numpy(singles).bfloat16().float().numpy()


@pytest.mark.parametrize("direction", ["towards zero", "away from zero"])
def test_walls_are_where_rounding_changes(direction):
    magnitude = np.abs(FINITE.astype(np.float64))
    values = FINITE[(magnitude > 2.0**-118) & (magnitude < 2.0**120)].astype(np.float32)
    inner, outer = half_ulps(values, "bfloat16")
    wall, sign = (inner, -1) if direction == "towards zero" else (outer, 1)
    outward = np.sign(values).astype(float) * sign
    odd = (values.view(np.uint32) >> 16) & 1 == 1
    below, at, above = (
        rounded(values.astype(float) + outward * wall * factor) != values
        for factor in (1 - 2**-6, 1, 1 + 2**-6)
    )
    assert not below.any()
    assert above.all()
    assert (at == odd).all()


def test_the_wall_towards_zero_is_halved_at_powers_of_two_alone():
    values = np.float32([1.0, 1.0078125, 2.0, -4.0, 2.0**-126, 2.0**-130, 0.0])
    inner, outer = half_ulps(values, "bfloat16")
    assert (outer / inner).tolist() == [2, 1, 2, 2, 1, 1, 1]


def test_origins_ulps_differ_from_the_distance_across_a_power_of_two():
    before, after = np.float32(1.0), np.float32(1.0 - 2**-7)
    assert origin_ulps(after - before, before, "bfloat16") == -1
    assert ulp_distance(before, after, "bfloat16") == 2


def bits_of(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def test_bare_bits_of_all_bfloat16_are_ordered_as_their_values():
    bits = FINITE.view(np.uint16)
    ranks = np.unique(FINITE.astype(np.float32), return_inverse=True)[1]
    zero = ranks[bits == 0]
    assert (ordered(bits) == ranks - zero).all()
    assert ordered(bits).dtype == np.int16


def distances(bits):
    """Return the distances from each pattern to the next, as the compiled loop counts them."""
    places, found = np.empty(len(bits)), np.empty(len(bits) - 1, np.float32)
    _find_places(bits.view(f"i{bits.itemsize}"), places)
    _distances(places, found)
    return found


@given(st.integers(0, 2**16 - 1))
@COMPILED
def test_distances_from_any_pattern_to_all_others(pattern):
    # NaN patterns too: they are no more than places behind infinity.
    patterns = np.arange(2**16)
    whole = np.where(patterns >> 15, -1, 1) * (patterns & 0x7FFF)
    there_and_back = np.full(2**17, pattern, np.uint16)
    there_and_back[1::2] = patterns
    expected = np.abs(whole - whole[pattern])
    found = distances(there_and_back)
    assert (found[::2] == expected).all()
    assert (found[1::2] == expected[:-1]).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@COMPILED
def test_distances_of_float32_do_not_wrap(one, other):
    def place(bits):
        return (-1 if bits >> 31 else 1) * (bits & 0x7FFFFFFF)

    patterns = np.array([one, other], np.uint32)
    assert ordered(patterns).tolist() == [place(one), place(other)]
    assert distances(patterns)[0] == np.float32(abs(place(one) - place(other)))


@given(SINGLES, st.integers(0, 40), st.booleans())
@COMPILED
def test_distance_of_float32_counts_the_steps_of_nextafter(value, steps, upwards):
    start = end = np.float32(value)
    for _ in range(steps):
        end = np.nextafter(end, np.float32(np.inf if upwards else -np.inf))
    assert distances(bits_of([start, end]))[0] == steps


def in_bfloat16_ulps(displacement, start):
    found, power = np.empty(len(start), np.float32), np.empty(len(start), np.uint32)
    _in_bfloat16_ulps(np.ascontiguousarray(displacement), bits_of(start), power, found)
    return found


@given(st.lists(st.tuples(SINGLES, SINGLES), min_size=1, max_size=20))
@COMPILED
def test_fast_displacements_in_ulps_are_origins(pairs):
    start, displacement = np.array(pairs, np.float32).T
    expected = origin_ulps(displacement, start, "bfloat16")
    exact = np.abs(expected) < np.finfo(np.float32).max
    exact &= (expected == 0) | (np.abs(expected) > 2.0**-100)  # or float32 has too few bits for it
    kept = values_of((bits_of(start) >> 16).astype(np.uint16))
    found, of_bfloat16 = (in_bfloat16_ulps(displacement, values) for values in (start, kept))
    assert (found == expected)[exact].all()
    assert (of_bfloat16 == found)[exact].all()


def test_fast_walls_are_those_away_from_zero_for_every_bfloat16():
    values = FINITE.astype(np.float32)
    assert (half_ulp_walls(values) == half_ulps(values, "bfloat16")[1]).all()
    assert (half_ulp_walls(values) != half_ulps(values, "bfloat16")[0]).any()
