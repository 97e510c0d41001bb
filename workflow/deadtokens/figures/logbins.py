"""Values averaged over bins of updates that are evenly long on a logarithmic axis."""

import numpy as np

BINS = 200


def bin_starts(last: int, bins: int = BINS) -> np.ndarray:
    """Return the first update of each bin, from 1; bins are whole updates, evenly long in logs.

    Parameters
    ----------
    last : int
        The last update.
    bins : int
        At most so many.
    """
    return np.unique(np.geomspace(1, max(last, 1), bins).round().astype(np.int64))


def averaged(values: np.ndarray, updates: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the mean over each bin's updates, (bins, ...).

    Parameters
    ----------
    values : ndarray of shape (updates, ...)
    updates : ndarray of int, shape (updates,)
        1, 2, 3, ...
    starts : ndarray of int
        As `bin_starts` gives them for the last of `updates`.
    """
    places = np.searchsorted(updates, starts)
    counts = np.diff(np.append(places, len(updates)))
    sums = np.add.reduceat(values, places, axis=0)
    return sums / counts.reshape(-1, *[1] * (values.ndim - 1))
