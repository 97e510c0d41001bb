"""The interval of a mean over seeds by Student's t."""

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes longer to import than a figure to draw

LEVEL = 0.95
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
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    reach = stdtrit(len(values) - 1, (1 + LEVEL) / 2) * error
    return float(np.mean(values) - reach), float(np.mean(values) + reach)
