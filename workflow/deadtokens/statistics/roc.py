"""How well an indicator tells what is known: the area under its ROC curve, with an interval."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata, t

from deadtokens.statistics.correlation import LEVEL
from deadtokens.statistics.separation import separated

INTERVAL = f"{LEVEL:.0%} interval, which a token alone of its kind and values that all tie lack"


class Area(NamedTuple):
    """The probability that a token of the truth has a smaller value than another one.

    Attributes
    ----------
    value, low, high : float
        With the bounds of its interval at LEVEL, NaN if there is one token alone of either kind or
        if all values tie; all NaN if there are no two to compare.
    """

    value: float
    low: float
    high: float


def area_under_curve(indicator: np.ndarray, truth: np.ndarray) -> Area:
    """Return the area under the ROC curve of "small means unused".

    Ties count half (Mann-Whitney). The interval has the variance of DeLong, DeLong & Clarke-Pearson
    (1988), and is on the scale of the logit, so that it stays within 0 and 1. Of few tokens that
    variance is estimated badly, so the quantile is Student's, with the degrees of freedom of
    Brunner & Munzel (2000), Biometrical Journal 42 (1), 17. An area of 0 or 1 has no variance to
    estimate: its interval is that of `separated`, by how many tokens there are. A token alone says
    nothing of how tokens of its kind differ, nor do values that all tie: there is none. Tokens
    without a value are left out.

    Parameters
    ----------
    indicator : ndarray of shape (tokens,)
    truth : bool ndarray of shape (tokens,)
        Which tokens are known to be unused.
    """
    has = ~np.isnan(indicator)
    unused, others = -indicator[has & truth], -indicator[has & ~truth]
    m, n = len(unused), len(others)
    if m == 0 or n == 0:
        return Area(np.nan, np.nan, np.nan)
    ranks = rankdata(np.concatenate([unused, others]))
    above = (ranks[:m] - rankdata(unused)) / n  # of each unused one: the share of others below it
    below = 1 - (ranks[m:] - rankdata(others)) / m
    value = float(above.mean())
    if min(m, n) < 2:
        return Area(value, np.nan, np.nan)
    if value in (0.0, 1.0):
        low, high = separated(2 * value - 1, min(m, n))
        return Area(value, (1 + low) / 2, (1 + high) / 2)
    if np.ptp(above) == 0 and np.ptp(below) == 0:
        return Area(value, np.nan, np.nan)
    return Area(value, *_logit_interval(value, above, below))


def _logit_interval(value: float, above: np.ndarray, below: np.ndarray) -> tuple[float, float]:
    """Return the ends of an area's interval, from the shares of the others of each token."""
    parts = [(shares.var(ddof=1) / len(shares), len(shares) - 1) for shares in (above, below)]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance) / (value * (1 - value))
    low, high = (expit(logit(value) + sign * half) for sign in (-1, 1))
    return float(low), float(high)


def areas_under_curves(
    indicators: Mapping[str, np.ndarray], truth: np.ndarray, asked: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the areas of several indicators over the tokens that are asked.

    Returns
    -------
    dict of str to float64 ndarray of shape (indicators,)
        ``area``, ``area_low`` and ``area_high``, in the order of the indicators.
    """
    areas = [area_under_curve(values[asked], truth[asked]) for values in indicators.values()]
    value, low, high = np.array(areas).reshape(-1, 3).T
    return {"area": value, "area_low": low, "area_high": high}
