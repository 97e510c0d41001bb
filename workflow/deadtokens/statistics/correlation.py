"""Rank correlation with an interval."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, spearmanr

LEVEL = 0.95
Z = float(norm.ppf((1 + LEVEL) / 2))  # a normal number is at most so large with that probability


class Correlation(NamedTuple):
    """A correlation, the ends of its interval of `LEVEL`, and p.

    Below 5 % is p where the interval leaves 0 out.
    """

    value: float
    low: float
    high: float
    p: float


def spearman(first: np.ndarray, second: np.ndarray) -> Correlation:
    """Return Spearman's rank correlation with its confidence interval.

    By Fisher's z with the variance (1 + rho^2 / 2) / (n - 3) of Bonett and Wright (2000),
    Psychometrika 65, 23; scipy has an interval for Pearson's correlation alone.

    Parameters
    ----------
    first, second : ndarray of shape (values,), more than three, neither constant
    """
    rho = float(np.clip(spearmanr(first, second).statistic, -1, 1))
    if abs(rho) == 1:
        return Correlation(rho, rho, rho, 0.0)
    z, error = np.arctanh(rho), np.sqrt((1 + rho**2 / 2) / (len(first) - 3))
    low, high = np.tanh([z - Z * error, z + Z * error])
    return Correlation(rho, float(low), float(high), float(2 * norm.sf(abs(z) / error)))
