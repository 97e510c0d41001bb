"""The loop of the attribution: what it sums up over tokens, components and updates.

Updates are the outer loop, for what one update adds up stays in the cache; within it each function
is a short loop over all weights, which the compiler turns into vector instructions.
"""

from typing import NamedTuple

import numpy as np

from deadtokens.attribution.ages import BORDERS, MEMORY, advance
from deadtokens.attribution.bound import bound_rounding, measure_result
from deadtokens.attribution.terms import (
    DISPLACEMENT,
    ROUNDING,
    TERMS,
    invert_denominator,
    split_displacement,
)
from deadtokens.loops import regrouped

# The vectors of an update, in this order; a term is its vector times a coefficient.
VECTORS = (*TERMS, "displacement", "grad", "exp_avg", "E 1 ago", "E 10 ago", "E 100 ago")
GRAD, EXP_AVG, OLDER = range(DISPLACEMENT + 1, DISPLACEMENT + 4)
ALL = len(VECTORS)


class Record(NamedTuple):
    """What is recorded of some tokens over some updates.

    Attributes
    ----------
    W, exp_avg, exp_avg_sq : float32 ndarray of shape (updates + 1, weights)
        Weights are tokens times components.
    compensation : float32 ndarray of that shape, or (0, weights) without one
    grad : float32 ndarray of shape (MEMORY + updates, weights)
        Those of the updates before included.
    h_mean : float64 ndarray of shape (updates, components)
    population : int64 ndarray of shape (tokens,)
    """

    W: np.ndarray
    exp_avg: np.ndarray
    exp_avg_sq: np.ndarray
    compensation: np.ndarray
    grad: np.ndarray
    h_mean: np.ndarray
    population: np.ndarray


class Numbers(NamedTuple):
    """The numbers that all weights share.

    Attributes
    ----------
    factors, bounds : float64 ndarray of shape (updates, 4)
        As `terms.coefficients` and `bound.bound_factors` give them.
    corrections : float64 ndarray of shape (updates,)
        As `terms.correction` gives them.
    beta1, eps : float
    """

    factors: np.ndarray
    bounds: np.ndarray
    corrections: np.ndarray
    beta1: float
    eps: float

    def of(self, updates: slice) -> "Numbers":
        """Return those of some updates."""
        by_update = (self.factors[updates], self.bounds[updates], self.corrections[updates])
        return Numbers(*by_update, self.beta1, self.eps)


class OverTokens(NamedTuple):
    """What is summed, or is largest, over tokens: by update.

    Attributes
    ----------
    vectors : float64 ndarray of shape (updates, VECTORS, populations, components)
    bound_ratio : float64 ndarray of shape (updates,)
        The largest |rounding| / bound.
    place, rounding : int64 and float64 ndarray of shape (updates,)
        Of which weight, and its rounding.
    not_finite : int64 ndarray of shape (updates,)
        Number of weights whose ratio is not a number.
    """

    vectors: np.ndarray
    bound_ratio: np.ndarray
    place: np.ndarray
    rounding: np.ndarray
    not_finite: np.ndarray


class OfTokens(NamedTuple):
    """What is summed over components, and over updates: by token.

    Attributes
    ----------
    products, squares : float64 ndarray of shape (7, updates, tokens)
        Of each of the first VECTORS with the displacement, and with itself.
    with_h : float64 ndarray of shape (updates, tokens)
        Product of the displacement with `h_mean`.
    net : float64 ndarray of shape (3, weights)
        The terms but for rounding, over the updates.
    """

    products: np.ndarray
    squares: np.ndarray
    with_h: np.ndarray
    net: np.ndarray

    @classmethod
    def zeros(cls, updates: int, tokens: int, components: int) -> "OfTokens":
        """Return sums to which nothing has been added."""
        products, squares = np.zeros((2, OLDER, updates, tokens))
        net = np.zeros((ROUNDING, tokens * components))
        return cls(products, squares, np.zeros((updates, tokens)), net)


@regrouped
def sum_up(record, numbers, averages, over_tokens, of_tokens, first):
    """Split every displacement of some tokens into its terms, check it, and add it up.

    Parameters
    ----------
    record : Record
    numbers : Numbers
    averages : float64 ndarray of shape (3, weights)
        E as it was BORDERS updates before the update before the first; it is brought up to date.
    over_tokens : OverTokens
        To which is added.
    of_tokens : OfTokens
        Which is filled; `net` is added to.
    first : int
        Number of the first weight among all tokens', for `place`.
    """
    tokens, weights = len(record.population), record.W.shape[1]
    vectors, inverse, bound = np.empty((ALL, weights)), np.empty(weights), np.empty(weights)
    result, lost = np.empty(weights), np.empty(weights)
    rows = vectors.reshape(ALL, tokens, weights // tokens)
    for t in range(len(record.h_mean)):
        before, after, grad = record.W[t], record.W[t + 1], record.grad[MEMORY + t]
        factors = numbers.factors[t]
        invert_denominator(record.exp_avg_sq[t + 1], numbers.corrections[t], numbers.eps, inverse)
        split_displacement(before, after, grad, record.exp_avg[t], inverse, factors, vectors)
        compensation = record.compensation[t : t + 2]
        measure_result(after, compensation, result)
        bound_rounding(before, result, vectors, numbers.bounds[t], bound)
        find_lost(vectors[ROUNDING], compensation, lost)
        hold_against(bound, lost, over_tokens, t, first)
        widen(grad, vectors[GRAD])
        widen(record.exp_avg[t + 1], vectors[EXP_AVG])
        for place in range(len(BORDERS)):
            past = record.grad[MEMORY + t - BORDERS[place]]
            advance(averages[place], past, numbers.beta1, inverse, vectors[OLDER + place])
        for k in range(ALL):
            add_tokens(rows[k], record.population, over_tokens.vectors[t, k])
        for k in range(ROUNDING):
            add_scaled(vectors[k], factors[k], of_tokens.net[k])
        for k in range(OLDER):
            products, squares = of_tokens.products[k, t], of_tokens.squares[k, t]
            multiply_rows(rows[k], rows[DISPLACEMENT], products, squares)
        multiply_by(record.h_mean[t], rows[DISPLACEMENT], of_tokens.with_h[t])


@regrouped
def find_lost(rounding, compensation, lost):
    """Fill in what of the rounding went neither into the compensation nor came out of it."""
    for i in range(len(lost)):
        lost[i] = rounding[i]
    if len(compensation):
        for i in range(len(lost)):
            lost[i] -= np.float64(compensation[0, i]) - compensation[1, i]


@regrouped
def hold_against(bound, rounding, over_tokens, t, first):
    """Compare each weight's rounding with its bound, and note the largest ratio of update t."""
    ratio, largest = bound, over_tokens.bound_ratio[t]
    finite, larger = 0, 0
    for i in range(len(ratio)):
        ratio[i] = abs(rounding[i]) / bound[i]
        finite += ratio[i] < np.inf
        larger += ratio[i] > largest
    over_tokens.not_finite[t] += len(ratio) - finite
    if larger:
        for i in range(len(ratio)):
            if largest < ratio[i] < np.inf:
                largest = ratio[i]
                over_tokens.bound_ratio[t], over_tokens.rounding[t] = largest, rounding[i]
                over_tokens.place[t] = first + i


@regrouped
def widen(values, vector):
    """Fill a float64 vector with float32 values."""
    for i in range(len(vector)):
        vector[i] = values[i]


@regrouped
def add_tokens(rows, population, total):
    """Add each token's row to the total of its population."""
    for token in range(rows.shape[0]):
        place = population[token]
        for c in range(rows.shape[1]):
            total[place, c] += rows[token, c]


@regrouped
def add_scaled(vector, factor, total):
    """Add factor times a vector to its total."""
    for i in range(len(total)):
        total[i] += factor * vector[i]


@regrouped
def multiply_rows(rows, others, products, squares):
    """Fill in each row's scalar product with the other row, and with itself."""
    for token in range(rows.shape[0]):
        product, square = 0.0, 0.0
        for c in range(rows.shape[1]):
            product += rows[token, c] * others[token, c]
            square += rows[token, c] * rows[token, c]
        products[token], squares[token] = product, square


@regrouped
def multiply_by(vector, rows, products):
    """Fill in each row's scalar product with a vector."""
    for token in range(rows.shape[0]):
        product = 0.0
        for c in range(rows.shape[1]):
            product += rows[token, c] * vector[c]
        products[token] = product
