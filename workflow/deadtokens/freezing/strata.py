"""A small picture of every update and every dead token: which phase, when."""

import numpy as np

from deadtokens.statistics.bins import logarithmic

ROWS = 400
COLUMNS = 400


def sampled_updates(last: int) -> np.ndarray:
    """Return at most COLUMNS updates from 1 to `last`, evenly spaced on a logarithmic axis.

    Early on, where such a spacing is finer than one, every update is there.

    Returns
    -------
    ndarray of int64, ascending
    """
    if last < 1:
        return np.zeros(0, np.int64)
    return logarithmic(last, COLUMNS)


def sampled_tokens(last_motion: np.ndarray) -> np.ndarray:
    """Return at most ROWS tokens, evenly spaced in the order of their last motion.

    Parameters
    ----------
    last_motion : ndarray of int, shape (tokens,)

    Returns
    -------
    ndarray of int64
        Positions, earliest last motion first; ties in the order of the tokens.
    """
    order = np.argsort(last_motion, kind="stable")
    count = min(ROWS, len(order))
    places = np.linspace(0, len(order) - 1, count).round().astype(np.int64)
    return order[places] if count else order
