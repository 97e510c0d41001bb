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
from scipy.sparse.linalg import eigsh

from deadtokens.matrices.matrix import Matrix

INDICATORS = {  # name: what it is
    "norm": "L2 norm",
    "to_mean": "distance to the mean of all rows",
    "to_reference": "distance to the mean of the known unused tokens",
    "cosine": "1 - cosine to the mean of the known unused tokens",
    "cosine_without_mean": "the same, the mean of all rows taken out of both",
    "cosine_without_first": "the same, their part along the first component taken out of both",
}
SEEN = 0.95  # area under the ROC curve above which an indicator sees the unused tokens
COORDINATE = ("number that is small for rows which training has not moved", "")


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

        Its sign makes its product with the mean positive, or else its largest component. NaN where
        there is none: all rows are zero, or too large for their products.
        """
        start = self.products[self.products.diagonal().argmax()]  # for repeatable bits not random
        if not (np.isfinite(self.products).all() and start.any()):
            return np.full(len(start), np.nan)
        vector = eigsh(self.products, k=1, v0=start)[1][:, 0] if len(start) > 1 else np.ones(1)
        along = vector @ self.mean or vector[np.abs(vector).argmax()]
        return vector if along > 0 else -vector

    def spectrum(self) -> np.ndarray:
        """Return the variances along the principal directions, the largest first, float64.

        NaN where the squares of numbers are none.
        """
        covariance = self.products - np.outer(self.mean, self.mean)
        if not np.isfinite(covariance).all():
            return np.full(len(covariance), np.nan)
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
    mean = moments.mean
    directions = [mean]
    if len(reference):
        known, first = _mean_of(matrix, reference), moments.first_component()
        directions += [known, first]
    square, products = _products(matrix, np.stack(directions, axis=1))
    on_mean = products[:, 0]
    from_mean = square - 2 * on_mean + mean @ mean
    found = {"norm": square, "to_mean": from_mean}
    if len(reference):
        on_known, on_first = products[:, 1:].T
        found["to_reference"] = square - 2 * on_known + known @ known
    found = {name: np.sqrt(squared.clip(min=0.0)) for name, squared in found.items()}
    if len(reference):
        found["cosine"] = _cosine_distance(on_known, square, known @ known)
        inner = on_known - on_mean - mean @ known + mean @ mean
        other = np.sum((known - mean) ** 2)
        found["cosine_without_mean"] = _cosine_distance(inner, from_mean, other)
        inner = on_known - on_first * (known @ first)
        other = known @ known - (known @ first) ** 2
        found["cosine_without_first"] = _cosine_distance(inner, square - on_first**2, other)
    return {
        name: np.where(np.isfinite(values), values, np.nan).astype(np.float32)
        for name, values in found.items()
    }


def _products(matrix: Matrix, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's product with itself, and with each direction, in float64."""
    square, products = np.empty(matrix.tokens), np.empty((matrix.tokens, directions.shape[1]))
    for start, rows in matrix.pieces():
        x, part = rows.astype(np.float64), slice(start, start + len(rows))
        with np.errstate(invalid="ignore", over="ignore"):
            square[part] = np.einsum("ij,ij->i", x, x)
            products[part] = x @ directions
    return square, products


def _mean_of(matrix: Matrix, rows: Sequence[int]) -> np.ndarray:
    """Return the mean of some rows, in float64."""
    total = np.zeros(matrix.width)
    for row in rows:
        total += matrix.rows(row, row + 1)[0]
    return total / len(rows)


def _cosine_distance(inner: np.ndarray, square: np.ndarray, other: float) -> np.ndarray:
    """Return 1 - cos of vectors and a direction, of their products and their squares."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - inner / np.sqrt(square * other)
