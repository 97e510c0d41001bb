"""How many updates lie between the recorded states of a run.

Where a recording leaves updates out, the update of a number is the one that is recorded, and what
it did is what was done since the recorded one before it.
"""

import numpy as np
import xarray as xr

from deadtokens.run.layout import Variable

SINCE = Variable(
    ("update",),
    "updates since the recorded state before: what is said of an update is said of all these; a "
    "change was made by one of them, and one that was taken back is not seen",
    "update",
)


def spans_of(run: xr.Dataset) -> np.ndarray:
    """Return how many updates each recorded one stands for, int64 of shape (updates,)."""
    return np.diff(run["state"].values)


def describe_spans(run: xr.Dataset) -> dict[str, tuple]:
    """Return what a file derived from a run that leaves updates out says of that, by name."""
    spans = spans_of(run)
    return {"updates_since": SINCE.labelled(spans)} if (spans > 1).any() else {}


def recorded_from(wanted: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    """Return for each wanted number the first recorded one from it on.

    Parameters
    ----------
    wanted, recorded : ndarray of int, ascending
        The last one wanted is not behind the last one recorded.

    Returns
    -------
    ndarray of int64
    """
    return recorded[np.searchsorted(recorded, wanted)].astype(np.int64)


def equal_span(spans: np.ndarray) -> int | None:
    """Return how many updates lie between two recorded states, None if not always as many."""
    return int(spans[0]) if len(spans) and (spans == spans[0]).all() else None
