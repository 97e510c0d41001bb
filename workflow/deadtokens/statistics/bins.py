"""Whole numbers at even distances on a logarithmic axis."""

import numpy as np


def logarithmic(last: int, count: int) -> np.ndarray:
    """Return at most `count` whole numbers from 1 to `last`, evenly spaced in their logarithms.

    Where such a spacing is finer than one, every number is there.

    Returns
    -------
    int64 ndarray, ascending
        1 alone if `last` is less.
    """
    return np.unique(np.geomspace(1, max(last, 1), count).round().astype(np.int64))
