"""The interval of a mean over seeds by resampling the seeds."""

import numpy as np
from scipy import stats

from deadtokens.comparison.intervals import FEWEST, LEVEL

RESAMPLES = 9999


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
