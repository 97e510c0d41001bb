"""Effect sizes and their intervals, against other ways to get them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, spearmanr

from deadtokens.freezing.order import cliffs_delta, effects, tied_times
from deadtokens.statistics.correlation import spearman

SAMPLES = st.lists(st.integers(0, 6), min_size=2, max_size=12).map(np.array)


def brute_force(group, rest):
    """Cliff's delta and its consistent variance from the matrix of all pairs."""
    d = np.sign(group[:, None] - rest[None, :]).astype(float)
    n, m = d.shape
    delta = d.mean()
    rows, columns = d.mean(1) - delta, d.mean(0) - delta
    sums = m**2 * (rows**2).sum() + n**2 * (columns**2).sum() - ((d - delta) ** 2).sum()
    return delta, sums / (n * m * (n - 1) * (m - 1))


@given(SAMPLES, SAMPLES)
def test_delta_is_that_of_all_pairs(group, rest):
    delta, low, high = cliffs_delta(group, rest)
    assert delta == pytest.approx(brute_force(group, rest)[0])
    u = mannwhitneyu(group, rest).statistic if len(np.unique([*group, *rest])) > 1 else None
    if u is not None:
        assert delta == pytest.approx(2 * u / (len(group) * len(rest)) - 1)
    assert -1 <= low <= delta + 1e-9
    assert delta - 1e-9 <= high <= 1


def test_interval_of_delta_by_the_formula():
    generator = np.random.default_rng(4)
    group, rest = generator.integers(0, 9, 30), generator.integers(2, 12, 50)
    delta, variance = brute_force(group, rest)
    z = 1.959964
    root = z * np.sqrt(variance * ((1 - delta**2) ** 2 + z**2 * variance))
    low, high = (
        (delta - delta**3 + sign * root) / (1 - delta**2 + z**2 * variance) for sign in (-1, 1)
    )
    assert cliffs_delta(group, rest)[1:] == pytest.approx((low, high), rel=1e-5)


def coverage(interval, truth, draw, repeats=400):
    generator = np.random.default_rng(7)
    found = [interval(*draw(generator)) for _ in range(repeats)]
    return np.mean([low <= truth <= high for _, low, high, *_ in found])


def test_interval_of_delta_covers_the_truth():
    # For normal values a distance of x apart, delta is 2 Phi(x / sqrt 2) - 1: here 0.5205.
    def draw(generator):
        return generator.normal(1, 1, 25), generator.normal(0, 1, 60)

    assert 0.92 <= coverage(cliffs_delta, 0.5205, draw) <= 0.985


def test_interval_of_the_correlation_covers_the_truth():
    # Of normal values with correlation r, Spearman's is 6 / pi arcsin(r / 2).
    def draw(generator):
        one, other = generator.normal(size=(2, 80))
        return one, 0.6 * one + 0.8 * other

    assert 0.92 <= coverage(spearman, 6 / np.pi * np.arcsin(0.3), draw) <= 0.985


def test_separated_groups_and_perfect_order():
    # Of 30 tokens and more that are all later: at least (30 - z^2) / (30 + z^2).
    ends = cliffs_delta(np.arange(100, 130), np.arange(40))
    assert ends == pytest.approx((1, 0.77298, 1), abs=1e-5)
    assert cliffs_delta(np.arange(40), np.arange(100, 130)) == (-1, -1, -ends[1])
    assert spearman(np.arange(5), np.arange(5) ** 2) == pytest.approx((1, 1, 1, 0))


def test_censored_tokens_are_tied_behind_all_others():
    times = tied_times(np.array([3, 9, 2, 10]), np.array([False, True, True, False]))
    assert times.tolist() == [3, 11, 11, 10]


def planted(tokens=200):
    """Tokens of script A freeze late, the longer the later; the norm has nothing to do with it."""
    generator = np.random.default_rng(1)
    late = np.arange(tokens) % 4 == 0
    length = generator.integers(1, 20, tokens)
    times = 100 * late + 3 * length + generator.integers(0, 40, tokens)
    scripts = np.where(late, "A", "B")
    return times, {"script": scripts}, {"length": length + 0.0, "norm": generator.random(tokens)}


def test_planted_effects_are_found_and_absent_ones_are_not():
    times, groups, numbers = planted()
    found = {effect.property: effect for effect in effects(times, groups, numbers)}
    assert list(found) == ["script: A", "script: B", "length", "norm"]
    assert found["script: A"].size > 0.8
    assert found["script: A"].low > 0.5
    assert found["script: A"].tokens == 50
    assert found["script: B"].size == -found["script: A"].size
    assert found["length"].low > 0
    assert found["length"].size == pytest.approx(spearmanr(numbers["length"], times).statistic)
    assert found["norm"].low < 0 < found["norm"].high


def test_small_groups_are_left_out_and_missing_numbers_too():
    times, _, _ = planted()
    groups = {"cause": np.where(np.arange(200) < 9, "few", "many")}
    lengths = np.where(np.arange(200) < 150, np.nan, np.arange(200.0))
    (only,) = effects(times, groups, {"length": lengths})
    assert (only.property, only.tokens) == ("length", 50)


def test_where_nothing_varies_nothing_is_said():
    _, groups, numbers = planted()
    same = np.full(200, 7)
    found = effects(same, groups, numbers | {"constant": np.ones(200)})
    assert np.isnan([[effect.size, effect.low, effect.high] for effect in found]).all()
