"""Intervals of a mean over seeds: by Student's t, and by resampling the seeds."""

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 9999
FEWEST = 2  # of one seed nothing is known about others


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % confidence interval of a mean: mean -+ t s / sqrt(n), n - 1 degrees.

    Of differences within pairs it is the interval of the paired t test.

    Parameters
    ----------
    values : ndarray of shape (n,)

    Returns
    -------
    low, high : float
        NaN for fewer than two values.
    """
    if len(values) < FEWEST:
        return np.nan, np.nan
    reach = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values)
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of a mean when the values are drawn anew.

    Of few values it is too narrow, as a resample can reach no further than they do. The draws are
    the same at every call.

    Parameters
    ----------
    values : ndarray of shape (n,)

    Returns
    -------
    low, high : float
        NaN for fewer than two values.
    """
    if len(values) < FEWEST:
        return np.nan, np.nan
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return tuple(map(float, found.confidence_interval))
