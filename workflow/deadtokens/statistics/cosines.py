"""Cosines between directions; what has no direction has none.

scikit-learn's `cosine_similarity` would call the cosine to a zero vector 0, and squares that
overflow infinite.
"""

import numpy as np

SIGN_COSINE = float(np.sqrt(2 / np.pi))  # of a normal vector to its sign, in many dimensions


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of every row of one array with every row of another; NaN for zero rows.

    Parameters
    ----------
    first : ndarray, shape (n, D)
    second : ndarray, shape (m, D)

    Returns
    -------
    ndarray, shape (n, m)
    """
    return unit(first) @ unit(second).T


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the rows divided by their L2 norms; NaN for zero rows."""
    with np.errstate(all="ignore"):
        vectors = vectors / np.abs(vectors).max(axis=-1, keepdims=True)  # squares must not overflow
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
