"""What a recording of another training may lack, as NaN, and the sentence that says so."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

WITHOUT = {
    "h_mean": "the mean hidden state was not recorded (`unembedding` gives it)",
    "probability": "the mean probabilities were not recorded (`unembedding` gives them)",
    "grad_norm": "by what clipping multiplied the gradients was not recorded",
}


def values_or_nan(run: xr.Dataset, name: str, dims: Sequence[str]) -> np.ndarray:
    """Return a variable of an opened run, float64; NaN throughout if it was not recorded.

    Parameters
    ----------
    run : Dataset
    name : str
    dims : sequence of str
        Its axes, in the order of the result.
    """
    if name in run:
        return run[name].transpose(*dims).values.astype(np.float64)
    return np.full([run.sizes[dim] for dim in dims], np.nan)


def left_out(run: xr.Dataset, **needing: str) -> str:
    """Return in words what cannot be said for want of recorded variables, '' if all can.

    Parameters
    ----------
    run : Dataset
    **needing : str
        By the name of a variable, what needs it.
    """
    missing = [name for name in needing if name not in run]
    return "; ".join(f"{needing[name]}: {WITHOUT[name]}" for name in missing)
