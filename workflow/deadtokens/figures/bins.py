"""Values gathered in bins of updates: how more updates are drawn than there is room for.

A line through every n-th of many updates shows whichever of them it happens to meet. Of a bin all
updates count: a line shows their median, a shaded band their range.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from deadtokens.statistics.bins import logarithmic

LOG_BINS = 200
EVEN_BINS = 100  # a line that jumps more often than that across a panel is a solid area
LOWEST, HIGHEST = "lowest", "highest"


def even_starts(last: int, bins: int = EVEN_BINS) -> np.ndarray:
    """Return the first update of each bin, from 1; bins are equally long, the last one excepted.

    Parameters
    ----------
    last : int
        The last update.
    bins : int
        At most so many.
    """
    return np.arange(1, max(last, 1) + 1, max(1, -(-last // bins)))


def bin_starts(last: int, bins: int = LOG_BINS) -> np.ndarray:
    """Return the first update of each of at most `bins` bins to `last`, evenly long in logs."""
    return logarithmic(last, bins)


def gathered(
    updates: np.ndarray, starts: np.ndarray, column: str, values: ArrayLike
) -> pd.DataFrame:
    """Return the median and the range of each bin's values.

    Parameters
    ----------
    updates : ndarray of int, shape (updates,)
    starts : ndarray of int
        The first updates of the bins, ascending, the first of them at most the first update.
    column : str
        What the values are called.
    values : array_like of float, shape (updates,)
        NaN where there is none; a bin of nothing else is NaN.

    Returns
    -------
    DataFrame
        One row a bin that has updates: its first ``update`` and ``last_update``, ``lowest``,
        `column` (the median) and ``highest``.
    """
    values = np.asarray(values, dtype="float64")
    bins = pd.DataFrame({"update": updates, column: values}).groupby(
        starts[np.searchsorted(starts, updates, side="right") - 1]
    )
    return pd.DataFrame(
        {
            "update": bins["update"].min(),
            "last_update": bins["update"].max(),
            LOWEST: bins[column].min(),
            column: bins[column].median(),
            HIGHEST: bins[column].max(),
        }
    ).reset_index(drop=True)


def middles(rows: pd.DataFrame) -> pd.Series:
    """Return where on the axis of updates each row stands: in the middle of its bin."""
    if "last_update" not in rows:
        return rows["update"]
    return (rows["update"] + rows["last_update"].fillna(rows["update"]).astype("int64")) / 2


def longest_bin(rows: pd.DataFrame) -> int:
    """Return the number of updates of the longest bin, 1 if nothing was gathered."""
    if "last_update" not in rows:
        return 1
    lengths = (rows["last_update"] - rows["update"]).dropna() + 1
    return int(lengths.max()) if len(lengths) else 1
