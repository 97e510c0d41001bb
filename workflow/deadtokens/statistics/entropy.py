"""The entropy of predictions."""

import numpy as np
from scipy.special import entr


def entropy(probability: np.ndarray, axis: int) -> np.ndarray:
    """Return the entropy of distributions along an axis, in nats, float64.

    Not `scipy.stats.entropy`, which first divides by the sum: that of recorded probabilities is 1
    but for rounding, and they are taken as they are.

    Parameters
    ----------
    probability : float ndarray
    axis : int
        Along which a distribution lies.
    """
    return entr(probability.astype(np.float64)).sum(axis=axis)
