"""Effects that are planted are found, those that are not are not."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from deadtokens.drift.dependence import (
    PAIRED_TOKENS,
    PERMUTATIONS,
    beyond_chance,
    correlations_of_pairs,
    pairs_alike,
    place_similarity,
    rank_correlation,
    sample,
    scores_and_residuals,
    spelling_similarity,
    variance_between,
)
from deadtokens.drift.tokens import LIKENESSES, PROPERTIES, describe_tokens


def generator(seed=0):
    return np.random.default_rng(seed)


def test_scores_and_residuals_of_known_vectors():
    score, residual = scores_and_residuals(
        np.array([[3.0, 4, 0], [0, -2, 0]]), np.array([0, 7.0, 0])
    )
    assert score.tolist() == [4, -2]
    assert residual.tolist() == [3, 0]


def test_rank_correlation_is_scipys():
    first, second = generator().normal(size=(2, 50))
    second += first
    found = rank_correlation(first, second)
    assert found.value == pytest.approx(spearmanr(first, second).statistic)
    assert found.tokens == 50
    assert found.low < found.value < found.high


def test_the_interval_holds_no_correlation_as_often_as_it_says():
    held = 0
    for seed in range(400):
        found = rank_correlation(*generator(seed).normal(size=(2, 40)))
        held += found.low <= 0 <= found.high
    assert held / 400 == pytest.approx(0.95, abs=0.03)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_p_is_below_its_level_where_the_interval_leaves_zero_out(seed, strength):
    first, second = generator(seed).normal(size=(2, 60))
    found = rank_correlation(first, second + strength * first)
    assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
    assert found.p == pytest.approx(spearmanr(first, second + strength * first).pvalue, abs=0.05)


def uncorrected(p):
    return p < 0.05


@pytest.mark.parametrize(
    ("judge", "low", "high"), [(beyond_chance, 0.02, 0.09), (uncorrected, 0.8, 0.95)]
)
def test_forty_tests_of_nothing_find_something_once_in_twenty_runs(judge, low, high):
    """The control: without correction nearly every run has a mark that is filled by chance."""
    runs = generator().uniform(size=(500, 40))
    assert low < np.mean([judge(p).any() for p in runs]) < high


def test_effects_that_are_there_stay_beyond_chance_among_many_that_are_not():
    p = np.concatenate([[1e-9, 1e-4, 1e-3, np.nan], np.linspace(0.04, 1, 36)])
    assert beyond_chance(p).tolist() == [True] * 3 + [False] * 37


@pytest.mark.parametrize("p", [[], [np.nan, np.nan]])
def test_where_nothing_is_defined_nothing_is_beyond_chance(p):
    assert beyond_chance(np.array(p, float)).tolist() == [False] * len(p)


def test_random_assignments_give_p_as_often_as_it_says():
    """Of classes and of pairs that mean nothing; and the least that so many draws can give."""
    classes, pairs = [], []
    for seed in range(60):
        values, labels = generator(seed).normal(size=40), generator(seed + 99).integers(0, 4, 40)
        classes.append(variance_between(values, labels.astype(str), generator(seed)).p)
        places, moves = generator(seed).normal(size=(2, 20, 3))
        pairs.append(pairs_alike(place_similarity(places), moves, generator(seed)).p)
    for found in (classes, pairs):
        assert np.mean(found) == pytest.approx(0.5, abs=0.15)
        assert np.mean(np.array(found) < 0.2) == pytest.approx(0.2, abs=0.15)
    values = np.repeat([0.0, 1.0], 20)
    least = variance_between(values, values.astype(str), generator())
    assert least.p == pytest.approx(1 / (PERMUTATIONS + 1))


def test_a_monotone_relation_is_perfect():
    values = np.arange(20.0)
    assert rank_correlation(values, values**3).value == pytest.approx(1)
    assert rank_correlation(values, -values).high == pytest.approx(-1)


def test_unknown_properties_are_left_out():
    first = np.concatenate([np.arange(12.0), [np.nan, np.nan]])
    assert rank_correlation(first, np.arange(14.0)).tokens == 12


@pytest.mark.parametrize("first", [np.ones(30), np.full(30, np.nan), np.arange(5.0)])
def test_constant_unknown_or_few_values_have_no_correlation(first):
    found = rank_correlation(first, np.arange(float(len(first))))
    assert np.isnan([found.value, found.low, found.high]).all()


def test_variance_between_classes_is_found():
    classes = np.array(["Latin", "Thai"] * 50)
    values = np.where(classes == "Thai", 1.0, 0.0) + 0.1 * generator().normal(size=100)
    found = variance_between(values, classes, generator())
    assert found.value > 0.9
    assert found.high < 0.1


def test_eta_squared_by_hand():
    values = np.array([0.0, 2, 4, 6] * 5)
    classes = np.array(["a", "a", "b", "b"] * 5)
    assert variance_between(values, classes, generator()).value == pytest.approx(0.8)


def test_classes_dealt_at_random_stay_within_the_range():
    inside = 0
    for seed in range(60):
        values, labels = generator(seed).normal(size=80), generator(seed + 999).integers(0, 4, 80)
        found = variance_between(values, labels.astype(str), generator(seed))
        inside += found.low <= found.value <= found.high
    assert inside >= 50


def test_one_class_or_no_variance_is_nan():
    assert np.isnan(variance_between(np.arange(20.0), np.full(20, "a"), generator()).value)
    assert np.isnan(variance_between(np.ones(20), np.array(["a", "b"] * 10), generator()).value)


def test_tokens_that_start_alike_and_drift_alike_are_found():
    places = generator().normal(size=(60, 3))
    alike = pairs_alike(place_similarity(places), 0.2 * places, generator())
    assert alike.value == pytest.approx(1)
    assert alike.high < 0.2
    apart = pairs_alike(place_similarity(places), generator(1).normal(size=(60, 3)), generator())
    assert apart.low <= apart.value <= apart.high


def test_a_common_drift_makes_nobody_alike():
    places = generator().normal(size=(60, 3))
    found = pairs_alike(place_similarity(places), np.tile([1.0, 2, 3], (60, 1)), generator())
    assert np.isnan(found.value) or abs(found.value) < 0.2


def test_spelling_similarity_of_known_strings():
    found = spelling_similarity([b"the ", b"the ", b"then", b"\xe0\xb8\x81", b"\xe0\xb8\x82", b"9"])
    assert np.diag(found) == pytest.approx(1)
    assert found[0, 1] == pytest.approx(1)
    assert 0.2 < found[0, 2] < 1
    assert found[3, 4] > 0.2  # the same first bytes
    assert found[0, 3] == found[0, 5] == 0
    assert spelling_similarity([]).shape == (0, 0)


def test_capitals_differ_and_an_empty_token_is_no_accident():
    assert spelling_similarity([b"AB", b"ab", b""])[0].tolist() == pytest.approx([1, 0, 0])


def test_white_space_is_spelt_in_bytes():
    spaces, newlines, tabs, others = b" " * 8, b"\n\n", b"\t\t\t", b"\xa0\x85"
    found = spelling_similarity([spaces, newlines, tabs, others, b" "])
    assert found[:4, :4] == pytest.approx(np.eye(4))
    assert 0.2 < found[0, 4] < 1


def test_few_tokens_have_no_pairs():
    assert np.isnan(pairs_alike(np.eye(4), np.eye(4), generator()).value)


def test_a_sample_is_ascending_and_bounded():
    tokens = np.arange(0, 3000, 2)
    chosen = sample(tokens, generator())
    assert len(chosen) == PAIRED_TOKENS
    assert (np.diff(chosen) > 0).all() and set(chosen) <= set(tokens)
    assert sample(tokens[:5], generator()).tolist() == tokens[:5].tolist()


def test_correlations_of_shuffled_pairs_are_those_of_shuffled_matrices():
    one, other = (half + half.T for half in generator().normal(size=(2, 37, 37)))
    orders = [generator(seed).permutation(37) for seed in range(4)]
    apart = ~np.eye(37, dtype=bool)
    expected = [np.mean((one * other[np.ix_(order, order)])[apart]) for order in orders]
    assert correlations_of_pairs(one, other, orders) == pytest.approx(expected, rel=1e-12)


def test_reserved_rows_have_no_spelling_and_no_numbers():
    """As many reserved rows, which all drift alike, must not make spelling matter."""
    first, last = generator().normal(size=(2, 60, 5)).astype(np.float32)
    last[30:] = first[30:] + 1
    spelt = [f"{token:02x} 61" for token in range(30)]
    census = xr.Dataset(
        {
            "token_bytes": ("token", np.array(spelt + [""] * 30)),
            "length_bytes": ("token", np.repeat([2, -1], 30)),
            "script": ("token", np.repeat(["Latin", "none"], 30)),
        }
    )
    members = np.ones((1, 60), bool)
    found = describe_tokens(first, last, members, census, np.ones(5), generator())
    tokens = dict(zip(LIKENESSES, found["likeness_tokens"][0], strict=True))
    assert tokens == {"spelling": 30, "initial position": 60}
    of_length, of_script = (PROPERTIES.index(name) for name in ("length_bytes", "script"))
    assert (found["effect_tokens"][0, of_length] == 30).all()
    assert (found["effect_tokens"][0, of_script] == 60).all()
