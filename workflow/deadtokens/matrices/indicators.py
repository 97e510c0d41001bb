"""Numbers that tell rows which training has not moved from those that it has.

The indicators of "Fishing for Magikarp" (Land & Bartolo 2024): how near a row lies to those of
tokens that are known to be unused. What a matrix has in common is taken out first, since it hides
the difference: its mean, or its first component.

The plain norm misleads in tied models. There a dead row is no input, but it is scored at every
position, and gradient descent pushes it away from what the model predicts: all dead rows move
together, along the mean of the hidden states, and their norm becomes that of the others or more. In
an untied embedding they stay where they were initialised, and the norm tells them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deadtokens.matrices.matrix import Matrix


@dataclass(frozen=True)
class Moments:
    """Sums over the rows of a matrix, of those whose values are all finite.

    Attributes
    ----------
    count : int
    mean : float64 ndarray of shape (width,)
    products : float64 ndarray of shape (width, width)
        Mean of the outer product of each row with itself.
    """

    count: int
    mean: np.ndarray
    products: np.ndarray

    def first_component(self) -> np.ndarray:
        """Return the unit vector along which the rows, their mean not taken out, are largest.

        Its sign makes its product with the mean positive, or else its largest component.
        """
        vector = np.linalg.eigh(self.products)[1][:, -1]
        along = vector @ self.mean or vector[np.abs(vector).argmax()]
        return vector if along > 0 else -vector

    def spectrum(self) -> np.ndarray:
        """Return the variances along the principal directions, the largest first, float64."""
        covariance = self.products - np.outer(self.mean, self.mean)
        return np.linalg.eigvalsh(covariance)[::-1].clip(min=0.0)


def moments(matrix: Matrix) -> Moments:
    """Return the moments of a matrix in one pass; products in float32, sums in float64."""
    count, mean = 0, np.zeros(matrix.width)
    products = np.zeros((matrix.width, matrix.width))
    for _, rows in matrix.pieces():
        finite = rows[np.isfinite(rows).all(1)]
        count += len(finite)
        mean += finite.sum(0, dtype=np.float64)
        products += finite.T @ finite
    return Moments(count, mean / max(count, 1), products / max(count, 1))


def indicators(
    matrix: Matrix, moments: Moments, reference: Sequence[int] = ()
) -> dict[str, np.ndarray]:
    """Return what tells how little each row was trained; small where it was not.

    Parameters
    ----------
    matrix : Matrix
    moments : Moments
        Of the same matrix.
    reference : sequence of int
        Tokens that are known to be unused.

    Returns
    -------
    dict of str to float32 ndarray of shape (tokens,)
        ``norm``: the row's L2 norm. ``to_mean``: distance to the mean of all rows. With a
        reference, whose rows' mean is u: ``to_reference``: distance to u. ``cosine``:
        1 - cos(row, u). ``cosine_without_mean`` and ``cosine_without_first``: the same when the
        mean of all rows, or their part along the first component, is taken out of both. NaN where a
        row has a value that is no finite number, or where nothing is left of a row.
    """
    names = ["norm", "to_mean"]
    if len(reference):
        names += ["to_reference", "cosine", "cosine_without_mean", "cosine_without_first"]
    found = {name: np.empty(matrix.tokens, np.float32) for name in names}
    known = _mean_of(matrix, reference) if len(reference) else None
    first = moments.first_component() if len(reference) else None
    for start, rows in matrix.pieces():
        part = slice(start, start + len(rows))
        x = rows.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            found["norm"][part] = np.linalg.norm(x, axis=1)
            found["to_mean"][part] = np.linalg.norm(x - moments.mean, axis=1)
            if known is None:
                continue
            found["to_reference"][part] = np.linalg.norm(x - known, axis=1)
            found["cosine"][part] = _cosine_distance(x, known)
            x -= moments.mean
            found["cosine_without_mean"][part] = _cosine_distance(x, known - moments.mean)
            x += moments.mean
            x -= np.outer(x @ first, first)
            without = known - (known @ first) * first
            found["cosine_without_first"][part] = _cosine_distance(x, without)
    for values in found.values():
        values[~np.isfinite(values)] = np.nan
    return found


def _mean_of(matrix: Matrix, rows: Sequence[int]) -> np.ndarray:
    """Return the mean of some rows, in float64."""
    total = np.zeros(matrix.width)
    for row in rows:
        total += matrix.rows(row, row + 1)[0]
    return total / len(rows)


def _cosine_distance(rows: np.ndarray, direction: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(direction)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - rows @ direction / norms
