"""How many tokens are still in motion, when a run's end is not taken for a freeze.

A token's freezing time is its last motion. A run that ends hides later motions: the times of tokens
that have not been seen to freeze are censored at the last update.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import CensoredData, ecdf

LEVEL = 0.95


@dataclass(frozen=True)
class Survival:
    """The estimated fraction of tokens in motion after each update, with its pointwise band.

    Attributes
    ----------
    fraction, low, high : ndarray of float64, shape (updates,)
    """

    fraction: np.ndarray
    low: np.ndarray
    high: np.ndarray


def kaplan_meier(last_motion: np.ndarray, censored: np.ndarray, updates: np.ndarray) -> Survival:
    """Return the Kaplan-Meier estimate with the exponential Greenwood band of `LEVEL`.

    As every censored time is the last update, the estimate is the fraction of tokens that have
    not frozen; the band says how far it would vary between clouds of as many independent tokens.
    Where the formula gives no band, it is [1, 1] before the first freeze, and from 0 to its last
    upper end once all have frozen.

    Parameters
    ----------
    last_motion : ndarray of int, shape (tokens,)
    censored : ndarray of bool, shape (tokens,)
    updates : ndarray of int, shape (updates,)
        Ascending; where to evaluate.

    Returns
    -------
    Survival
        All NaN without tokens.
    """
    if not len(last_motion):
        return Survival(*np.full((3, len(updates)), np.nan))
    end = np.full(np.count_nonzero(censored), updates.max(initial=0))
    sample = CensoredData.right_censored(
        np.concatenate([last_motion[~censored], end]), np.arange(len(censored)) >= (~censored).sum()
    )
    function = ecdf(sample).sf
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The confidence interval is undefined", RuntimeWarning)
        band = function.confidence_interval(LEVEL, method="log-log")
    fraction, low, high = (one.evaluate(updates) for one in (function, band.low, band.high))
    return Survival(fraction, *_with_ends(fraction, low, high))


def _with_ends(
    fraction: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fill in the band where the estimate is 1 or 0."""
    low = np.where(fraction == 1, 1.0, np.where(fraction == 0, 0.0, low))
    high = np.where(fraction == 1, 1.0, high)
    last = high[fraction > 0][-1] if (fraction > 0).any() else 1.0
    return low, np.where(fraction == 0, last, high)
