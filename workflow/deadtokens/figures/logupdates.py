"""A logarithmic axis of updates, and values averaged or picked along it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

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


def label_log_updates(axes: Axes, updates: pd.Series) -> None:
    """Make the axis of updates logarithmic, with whole numbers at the powers of ten."""
    axes.set_xscale("log")
    axes.set_xlim(1, max(2, updates.max()))
    axes.set_xlabel("update (logarithmic)")
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
