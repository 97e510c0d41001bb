"""What the dead tokens are: text, cause of death, where they began."""

import numpy as np
import xarray as xr

from deadtokens.statistics.cosines import cosines

GROUPS = {"why_dead": "cause of death", "script": "script"}
LENGTHS = {"length_bytes": "length in bytes", "length_characters": "length in characters"}


def token_groups(run: xr.Dataset, dead: np.ndarray) -> dict[str, np.ndarray]:
    """Return the dead tokens' classes that the run knows, each an array of str.

    Parameters
    ----------
    run : Dataset
    dead : ndarray of bool, shape (tokens,)
    """
    return {
        name: run[variable].values[dead].astype(str)
        for variable, name in GROUPS.items()
        if variable in run
    }


def token_numbers(run: xr.Dataset, dead: np.ndarray, first: np.ndarray) -> dict[str, np.ndarray]:
    """Return the dead tokens' numbers that the run knows, each float64 with NaN for unknown.

    The alignment is the cosine between a token's initial row and the mean final hidden state: that
    of the first update, and its mean over all updates.

    Parameters
    ----------
    run : Dataset
    dead : ndarray of bool, shape (tokens,)
    first : float32 ndarray, shape (tokens, components)
        W at state 0.
    """
    numbers = {}
    for variable, name in LENGTHS.items():
        if variable in run:
            length = run[variable].values[dead].astype(np.float64)
            numbers[name] = np.where(length < 0, np.nan, length)  # -1: not whole characters
    start = first[dead].astype(np.float64, order="C")
    numbers["initial norm"] = np.linalg.norm(start, axis=1)
    if run.sizes["update"] and "h_mean" in run:
        hidden = run["h_mean"].values.astype(np.float64)
        first, mean = cosines(start, np.stack([hidden[0], hidden.mean(0)])).T
        numbers["initial alignment with the first mean hidden state"] = first
        numbers["initial alignment with the mean hidden state"] = mean
    return numbers
