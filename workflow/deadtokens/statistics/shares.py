"""How much of a motion is due to each of its parts."""

import numpy as np


def shares(parts: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return each part's share along the whole, <part, whole> / <whole, whole>.

    Where the parts sum to the whole, the shares sum to 1; that of a part which opposes the whole is
    negative.

    Parameters
    ----------
    parts : ndarray of shape (..., parts, components)
    whole : ndarray of shape (..., components)

    Returns
    -------
    ndarray of shape (..., parts)
        NaN where the whole is zero.
    """
    along = np.einsum("...pc,...c->...p", parts, whole)
    with np.errstate(invalid="ignore", divide="ignore"):
        return along / np.einsum("...c,...c->...", whole, whole)[..., None]
