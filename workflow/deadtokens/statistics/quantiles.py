"""Quantiles over those values that are there."""

from collections.abc import Sequence

import numpy as np


def quantiles_of_finite(values: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """Return quantiles along the last axis, of the finite values alone.

    Linear between two neighbours, as `numpy.quantile` has it; many times faster than
    `numpy.nanquantile`.

    Parameters
    ----------
    values : float ndarray of shape (..., values)
    quantiles : sequence of float, 0 to 1

    Returns
    -------
    float64 ndarray of shape (..., quantiles)
        NaN where no value is finite.
    """
    ordered = np.array(values, order="C")
    ordered[~np.isfinite(ordered)] = np.nan
    ordered.sort(axis=-1)  # NaN comes last
    present = np.count_nonzero(~np.isnan(ordered), axis=-1)
    positions = np.maximum(present - 1, 0)[..., None] * np.asarray(quantiles)
    if not ordered.shape[-1]:
        return np.full(positions.shape, np.nan)
    below = np.floor(positions).astype(np.intp)
    above = np.ceil(positions).astype(np.intp)
    low = np.take_along_axis(ordered, below, axis=-1).astype(np.float64)
    high = np.take_along_axis(ordered, above, axis=-1).astype(np.float64)
    return low + (high - low) * (positions - below)
