"""Rows that are alike: planted ones, and all pairs of small matrices by brute force."""

from itertools import combinations

import numpy as np
import pytest
from held import DTYPES, Held, held, quantized, units_of
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.matrices import duplicates
from deadtokens.matrices.duplicates import (
    Cluster,
    clusters,
    first_alike,
    lattice,
    near_pairs,
    places,
    population,
)

FORMATS = list(DTYPES)


def random(tokens: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, (tokens, width))


def moved(values: np.ndarray, places: np.ndarray, format: str) -> np.ndarray:
    """Return values so many places further from zero on the grid of their format."""
    dtype = DTYPES[format]
    patterns = values.astype(dtype).view(f"i{np.dtype(dtype).itemsize}")
    return (patterns + places.astype(patterns.dtype)).view(dtype).astype(np.float32)


def test_rows_with_the_same_bits_are_found_across_pieces(monkeypatch):
    monkeypatch.setattr("deadtokens.matrices.matrix.PIECE", 3 * 4 * 8)  # three rows
    values = random(20, 8)
    values[[4, 11, 19]] = values[2]
    values[17] = values[5]
    first = first_alike(held(values))
    expected = np.arange(20)
    expected[[4, 11, 19]], expected[17] = 2, 5
    assert (first == expected).all()
    assert population(first)[[2, 4, 11, 19, 5, 17, 0]].tolist() == [4, 4, 4, 4, 2, 2, 1]


def test_one_bit_makes_another_row():
    values = np.zeros((3, 4), np.float32)
    values[1, 3] = -0.0
    assert first_alike(held(values)).tolist() == [0, 1, 0]


def by_force(matrix: Held, units: int) -> dict:
    """Return the pairs of different rows within so many units, by comparing all."""
    found = {}
    unit = matrix.units(0, matrix.tokens).astype(np.float64)
    values = matrix.values.astype(np.float64)
    for i, j in combinations(range(matrix.tokens), 2):
        apart = [
            0.0 if a == b else abs(a - b) / max(u, v)
            for a, b, u, v in zip(values[i], values[j], unit[i], unit[j], strict=True)
        ]
        same = (matrix.values[i].view(np.uint32) == matrix.values[j].view(np.uint32)).all()
        if not same and max(apart) <= units:
            found[i, j] = max(apart), sum(apart)
    return found


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), units=st.sampled_from([1, 2, 4]))
def test_near_rows_are_those_of_all_pairs(format, seed, units):
    """Around powers of two and zero, where the grid changes, and far apart."""
    generator = np.random.default_rng(seed)
    base = np.ldexp(1.0, generator.integers(-6, 2, (6, 16))) * generator.choice([-1, 1], (6, 16))
    base[0, :4] = 0
    values = np.repeat(held(base, format).values, 5, axis=0)
    values = moved(values, generator.integers(-3, 4, values.shape) * (values != 0), format)
    values[::5] = values[0]
    matrix = held(values, format)
    pairs = near_pairs(matrix, np.arange(matrix.tokens), units)
    found = dict(
        zip(
            zip(pairs.one.tolist(), pairs.other.tolist(), strict=True),
            zip(pairs.largest.tolist(), pairs.total.tolist(), strict=True),
            strict=True,
        )
    )
    same = first_alike(matrix)
    found = {pair: how for pair, how in found.items() if same[pair[0]] != same[pair[1]]}
    expected = by_force(matrix, units)
    assert found.keys() == expected.keys()
    for pair, how in expected.items():
        assert found[pair] == pytest.approx(how, rel=1e-6)


def test_some_of_these_pairs_are_near_and_others_are_not():
    """Negative control of the one above: neither all nor none."""
    generator = np.random.default_rng(1)
    values = np.repeat(held(random(6, 16), "bfloat16").values, 5, axis=0)
    values = moved(values, generator.integers(-2, 3, values.shape), "bfloat16")
    counts = [len(by_force(held(values, "bfloat16"), units)) for units in (1, 2, 4)]
    assert counts[0] < counts[1] < counts[2] == 6 * 10


@pytest.mark.parametrize("units", [1, 2, 4])
def test_steps_of_a_quantization_are_its_units(units):
    generator = np.random.default_rng(2)
    whole = np.repeat(generator.integers(-120, 120, (4, 64)), 6, axis=0)
    whole += generator.integers(-1, 2, whole.shape) * np.repeat([0, 1, 1, 2, 2, 3] * 4, 64).reshape(
        whole.shape
    )
    steps = np.repeat(generator.uniform(1e-4, 2e-4, (4, 2)), 6, axis=0)
    matrix = quantized(whole, steps)
    pairs = near_pairs(matrix, first_alike(matrix), units)
    found = set(zip(pairs.one.tolist(), pairs.other.tolist(), strict=True))
    assert found == by_force(matrix, units).keys()
    assert (pairs.largest == np.rint(pairs.largest)).all()
    assert len(found) == {1: 8, 2: 20, 4: 52}[units]  # of 0, 1, 1, 2, 2, 3 steps, four times


def test_places_are_neighbours_on_the_grid():
    for format, dtype in DTYPES.items():
        kind = f"i{np.dtype(dtype).itemsize}"
        start = np.array([1.0, 0.0], dtype).view(kind)
        steps = (start[:1] + np.arange(-300, 300)).astype(kind).view(dtype).astype(np.float32)
        assert (np.diff(places(steps, format)) == 1).all()
        assert (places(-steps, format) == -places(steps, format)).all()
        smallest = (start[1:] + np.arange(3)).astype(kind).view(dtype).astype(np.float32)
        assert places(smallest, format).tolist() == [0, 1, 2]


def smoke() -> tuple[Held, np.ndarray]:
    """Return a bfloat16 matrix of which 200 rows lie on 5 vectors a unit apart, and which they are.

    The sixth vector of the cluster differs by 3 units in one component.
    """
    generator, width = np.random.default_rng(3), 48
    values = held(generator.normal(0, 0.02, (1001, width)), "bfloat16").values
    values, vectors = values[:1000], np.repeat(values[1000:], 6, axis=0)
    shifts = np.zeros((6, width), int)
    for index in range(1, 5):
        shifts[index, index] = 1
    shifts[5, 7] = 3
    vectors = moved(vectors, shifts, "bfloat16")
    rows = generator.permutation(1000)[:200]
    on = np.concatenate([np.zeros(100), np.repeat([1, 2, 3, 4], 24), [5] * 4]).astype(int)
    values[rows] = vectors[on]
    return held(values, "bfloat16"), rows


@pytest.mark.parametrize(("units", "vectors"), [(1, 5), (2, 5), (4, 6)])
def test_a_planted_black_hole_is_found_with_its_lattice(units, vectors):
    matrix, rows = smoke()
    first = first_alike(matrix)
    pairs = near_pairs(matrix, first, 4)
    cluster = clusters(first, pairs, pairs.within(units, "Linf"))
    found, *others = lattice(matrix, first, cluster)
    assert [(one.tokens, one.vectors) for one in others] == [(4, 1)] * (6 - vectors)
    tokens = 196 + 4 * (vectors == 6)
    assert (found.tokens, found.vectors, found.largest) == (tokens, vectors, 100)
    assert found.components == vectors - 1
    assert found.extent == pytest.approx(3 if vectors == 6 else 1)
    inside = np.flatnonzero(cluster == found.first)
    assert set(inside) <= set(rows.tolist()) and found.first == inside.min()
    assert len(inside) == tokens


def test_the_sum_over_components_is_another_distance():
    matrix, _ = smoke()
    first = first_alike(matrix)
    pairs = near_pairs(matrix, first, 4)
    assert len(pairs.one) == 15  # of six vectors
    assert pairs.within(1, "Linf").sum() == 10 and pairs.within(1, "L1").sum() == 4
    assert pairs.within(2, "L1").sum() == 10
    assert pairs.within(4, "Linf").sum() == pairs.within(4, "L1").sum() == 15


def test_rows_of_no_numbers_are_near_to_none():
    values = np.repeat(random(1, 16), 4, axis=0).astype(np.float32)
    values[1, 3], values[2, 5] = np.nan, np.inf
    values[3] = np.nextafter(values[0], np.float32(1))
    pairs = near_pairs(held(values), first_alike(held(values)), 4)
    assert (pairs.one.tolist(), pairs.other.tolist()) == ([0], [3])


def test_a_matrix_of_rows_that_are_all_near_is_not_taken_apart(monkeypatch):
    values = np.repeat(random(1, 8), 60, axis=0)
    matrix = held(moved(values, np.arange(480).reshape(60, 8) % 2, "float32"))
    matrix.values[:, 0] += np.arange(60, dtype=np.float32) * 1e-9
    first = first_alike(matrix)
    assert near_pairs(matrix, first, 4) is not None
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 20)
    assert near_pairs(matrix, first, 4) is None
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 5000)
    monkeypatch.setattr(duplicates, "MOST_BYTES", 100)
    assert near_pairs(matrix, first, 4) is None


def test_the_lattice_of_exact_duplicates_is_a_point():
    values = random(9, 8)
    values[[3, 5]] = values[1]
    values[7] = values[2]
    matrix = held(values)
    first = first_alike(matrix)
    nothing = near_pairs(matrix, first, 1)
    found = lattice(matrix, first, clusters(first, nothing, nothing.within(1, "Linf")))
    assert found == [Cluster(1, 3, 1, 3, 0, 0.0), Cluster(2, 2, 1, 2, 0, 0.0)]


def test_the_units_of_the_tests_are_the_distances_to_the_next_number():
    values = np.array([1.0, 1.5, -2.0, 0.02, 1e-40], np.float32)
    following = np.abs(np.nextafter(values, np.sign(values) * np.float32(np.inf)))
    expected = following - np.abs(values)
    assert (units_of(values, "float32") == expected).all()
