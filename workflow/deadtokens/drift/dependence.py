"""Whether a token's drift depends on what the token is.

Two numbers say how a token drifted: its *score*, the component of its net displacement along the
population's drift, and its *residual*, the norm of the rest. They are held against properties of
the token by rank correlation, against classes of tokens by the share of variance between them, and
against the similarity of pairs of tokens by a Mantel test.

Each of these is a test, and a run has dozens: of twenty that hold chance alone, one is beyond a
level of 5 %. What counts as beyond chance is therefore decided over all of them together, by
`beyond_chance`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control
from sklearn.feature_extraction.text import TfidfVectorizer

from deadtokens.drift.labels import FEWEST, GRAMS, PAIRED_TOKENS, PERMUTATIONS
from deadtokens.loops import regrouped
from deadtokens.statistics.correlation import spearman
from deadtokens.statistics.cosines import unit

LEVEL = 0.95


@dataclass(frozen=True)
class Effect:
    """A measure of association and an interval about it, NaN where there are too few tokens.

    Attributes
    ----------
    tokens : int
        Tokens behind it.
    value, low, high : float
        For correlations a 95 % confidence interval. For variance between classes and for pairs,
        ``low`` and ``high`` are what 95 % of random assignments give: the null's range.
    p : float
        How often chance alone gives as much or more, for this test by itself.
    """

    tokens: int
    value: float
    low: float
    high: float
    p: float


def scores_and_residuals(
    displacement: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Split net displacements into their component along a direction and the norm of the rest.

    Parameters
    ----------
    displacement : ndarray, shape (tokens, components)
    direction : ndarray, shape (components,)

    Returns
    -------
    score, residual : float64 ndarray, shape (tokens,)
    """
    along = unit(direction)
    displacement = displacement.astype(np.float64)
    score = displacement @ along
    return score, np.linalg.norm(displacement - score[:, None] * along, axis=1)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> Effect:
    """Return Spearman's correlation with its confidence interval, see `spearman`.

    Tokens for which one of the two is not finite are left out.

    Parameters
    ----------
    first, second : ndarray, shape (tokens,)
    """
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    if len(first) < FEWEST or not np.ptp(first) or not np.ptp(second):
        return undefined(len(first))
    return Effect(len(first), *spearman(first, second))


def undefined(tokens: int) -> Effect:
    """Return the effect of which nothing can be said."""
    return Effect(tokens, *[np.nan] * 4)


def variance_between(
    values: np.ndarray, classes: np.ndarray, generator: np.random.Generator
) -> Effect:
    """Return the share of the values' variance that lies between classes (eta squared).

    The interval is that of classes dealt at random among the tokens: with k classes of n tokens
    chance alone gives (k - 1) / (n - 1) in the mean. Classes that differ less than that do not
    differ: p is one-sided.

    Parameters
    ----------
    values : ndarray, shape (tokens,)
    classes : ndarray of str, shape (tokens,)
    generator : numpy Generator
    """
    known = np.isfinite(values)
    values, (names, labels) = values[known], np.unique(classes[known], return_inverse=True)
    tokens = len(values)
    if tokens < FEWEST or len(names) < 2 or not np.ptp(values):
        return undefined(tokens)
    centred, sizes = values - values.mean(), np.bincount(labels)

    def eta_squared(labels: np.ndarray) -> float:
        means = np.bincount(labels, centred) / sizes
        return float((sizes * means**2).sum() / (centred**2).sum())

    found = eta_squared(labels)
    # scipy's permutation_test takes three times as long, and holds all the draws at once.
    random = np.array([eta_squared(generator.permutation(labels)) for _ in range(PERMUTATIONS)])
    return Effect(tokens, found, *_range_of(random), _share_above(found, random))


def _share_above(found: float, random: np.ndarray) -> float:
    """Return how often chance gives as much, what was found counted among the draws."""
    return float((1 + np.count_nonzero(random >= found)) / (1 + len(random)))


def _range_of(random: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(random, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def pairs_alike(
    similarity: np.ndarray, displacement: np.ndarray, generator: np.random.Generator
) -> Effect:
    """Return whether tokens that are alike drift alike: a Mantel test.

    The correlation, over pairs of tokens, of their similarity with the cosine between what their
    net displacements have besides the mean one; the interval is that of tokens shuffled against
    each other (Mantel 1967), and p takes both of its tails.

    Parameters
    ----------
    similarity : ndarray, shape (tokens, tokens)
    displacement : ndarray, shape (tokens, components)
    generator : numpy Generator
    """
    tokens = len(similarity)
    expected, found = _standard(similarity), _standard(_cosines_of_rest(displacement))
    if tokens < FEWEST or expected is None or found is None:
        return undefined(tokens)
    orders = [generator.permutation(tokens) for _ in range(PERMUTATIONS)]
    correlation, *random = correlations_of_pairs(expected, found, [np.arange(tokens), *orders])
    random = np.array(random)
    above, below = _share_above(correlation, random), _share_above(-correlation, -random)
    return Effect(tokens, correlation, *_range_of(random), min(1.0, 2 * min(above, below)))


def correlations_of_pairs(
    one: np.ndarray, other: np.ndarray, orders: Sequence[np.ndarray]
) -> list[float]:
    """Return the mean product over pairs of two matrices, the tokens of one of them reordered.

    Parameters
    ----------
    one, other : float64 ndarray, shape (tokens, tokens)
        Symmetric, with mean 0 and variance 1 off the diagonal.
    orders : sequence of ndarray of int64, shape (tokens,)
        Of the tokens of `other`.
    """
    pairs = len(one) * (len(one) - 1) / 2
    return [_sum_over_pairs(one, other, order) / pairs for order in orders]


@regrouped
def _sum_over_pairs(one: np.ndarray, other: np.ndarray, order: np.ndarray) -> float:
    total = 0.0
    for row in range(len(one)):
        shuffled = other[order[row]]
        for column in range(row):
            total += one[row, column] * shuffled[order[column]]
    return total


def beyond_chance(p: np.ndarray) -> np.ndarray:
    """Return which tests of many are beyond chance, by Benjamini and Hochberg (1995).

    Of those that are, at most 5 % are expected to be chance.

    Parameters
    ----------
    p : ndarray, shape (tests,)
        NaN where a test is not defined: it counts for nothing and is not beyond chance.

    Returns
    -------
    ndarray of bool, shape (tests,)
    """
    known = np.isfinite(p)
    beyond = np.zeros(len(p), bool)
    if known.any():
        beyond[known] = false_discovery_control(p[known]) <= 1 - LEVEL + 1e-12
    return beyond


def _cosines_of_rest(displacement: np.ndarray) -> np.ndarray:
    displacement = displacement.astype(np.float64)
    rest = unit(displacement - displacement.sum(axis=0) / max(len(displacement), 1))
    return np.nan_to_num(rest @ rest.T)  # a token exactly at the mean is like no other


def _standard(pairs: np.ndarray) -> np.ndarray | None:
    """Return a symmetric matrix with mean 0 and variance 1 off its diagonal, 0 on it."""
    others = pairs[~np.eye(len(pairs), dtype=bool)]
    if not others.size or not np.isfinite(others).all() or not np.ptp(others):
        return None
    standard = (pairs - others.mean()) / others.std()
    np.fill_diagonal(standard, 0)
    return standard


def spelling_similarity(spelt: list[bytes]) -> np.ndarray:
    """Return how much the bytes of tokens have in common, (tokens, tokens), from 0 to 1.

    The cosine between counts of runs of 1 to 3 bytes, rare runs weighing more (tf-idf). Bytes, not
    characters: a token may be part of a character.
    """
    if not spelt:
        return np.zeros((0, 0))
    texts = [token.decode("latin-1") for token in spelt]
    grams = TfidfVectorizer(analyzer=_runs).fit_transform(texts)
    return (grams @ grams.T).toarray()


def _runs(text: str) -> list[str]:
    """Return all runs of GRAMS characters; the library's own are blind to which white space."""
    shortest, longest = GRAMS
    return [
        text[start : start + length]
        for length in range(shortest, longest + 1)
        for start in range(len(text) - length + 1)
    ]


def place_similarity(positions: np.ndarray) -> np.ndarray:
    """Return the cosine between the positions of tokens relative to their mean."""
    return _cosines_of_rest(positions)


def sample(tokens: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return at most PAIRED_TOKENS of the tokens, ascending: pairs grow with their square."""
    if len(tokens) <= PAIRED_TOKENS:
        return tokens
    return np.sort(generator.choice(tokens, PAIRED_TOKENS, replace=False))
