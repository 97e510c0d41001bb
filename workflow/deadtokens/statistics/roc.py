"""How well an indicator tells what is known: the area under its ROC curve, with an interval."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata

from deadtokens.statistics.separation import separated

LEVEL = 0.95
INTERVAL = f"{LEVEL:.0%} interval, which a token alone of its kind does not have"


class Area(NamedTuple):
    """The probability that a token of the truth has a smaller value than another one.

    Attributes
    ----------
    value, low, high : float
        With the bounds of its interval at LEVEL, NaN if there is one token alone of either kind;
        all NaN if there are no two to compare.
    """

    value: float
    low: float
    high: float


def area_under_curve(indicator: np.ndarray, truth: np.ndarray) -> Area:
    """Return the area under the ROC curve of "small means unused".

    Ties count half (Mann-Whitney). The interval is that of DeLong, DeLong & Clarke-Pearson (1988),
    on the scale of the logit, so that it stays within 0 and 1. An area of 0 or 1 has no variance to
    estimate: its interval is that of `separated`, by how many tokens there are. A token alone says
    nothing of how tokens of its kind differ, and there is none. Tokens without a value are left
    out.

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
    deviation = np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
    logit, half = np.log(value / (1 - value)), norm.ppf((1 + LEVEL) / 2) * deviation
    half /= value * (1 - value)
    low, high = (1 / (1 + np.exp(-(logit + sign * half))) for sign in (-1, 1))
    return Area(value, float(low), float(high))


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
