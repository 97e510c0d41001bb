"""The rows that training has not moved, together: a cloud, its place, its shape and its scale.

What the logits give a dead row as its gradient is its own small probability times the mean of the
hidden states, so that nearly one vector is added to all dead rows: they travel together, away from
that mean, and keep the differences with which they were initialised, but for what weight decay
takes and rounding adds. Of a Gaussian start that is a shell: in many dimensions nearly all rows of
a Gaussian cloud are at one distance from its centroid. Of any matrix it can be asked whether rows
lie like that, on which side of all others, and how many units of the format their differences still
are: below one, rows that differed have the same bits.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.linalg import eigh
from scipy.special import gammaincinv

from deadtokens.matrices.indicators import Moments
from deadtokens.matrices.matrix import Matrix
from deadtokens.statistics.cosines import cosines

FEWEST = 4  # tokens that are a cloud: its effective dimension takes so many
INSIDE = 0.95  # of a Gaussian cloud's rows lie between the two distances that are its shell
SHELL = f"of those between which {INSIDE:.0%} of the rows of a Gaussian cloud like it are"
# Name: axes, long name, unit.
VARIABLES = {
    "to_centroid": (("token",), "distance to the centroid of the cloud", "weight"),
    "plane": (
        ("token", "axis"),
        "place in the cloud's principal plane, from its centroid on",
        "weight",
    ),
    "cloud_centroid": (("component",), "centroid of the cloud", "weight"),
    "other_centroid": (("component",), "centroid of all other rows", "weight"),
    "cloud_deviation": (
        ("component",),
        "standard deviation of the cloud's rows in a component",
        "weight",
    ),
    "cloud_units": (
        ("component",),
        "the same over the mean unit of the cloud's values there: an ulp, or a step",
        "units",
    ),
    "cloud_tokens": ((), "rows that are the cloud: known to be unused, or else sharing bits", "1"),
    "cloud_radius": (
        (),
        "root mean square distance of the cloud's rows from its centroid",
        "weight",
    ),
    "cloud_dimension": (
        (),
        "effective dimension (participation ratio) of the cloud, its few rows allowed for",
        "1",
    ),
    "cloud_norm": ((), "norm of the cloud's centroid", "weight"),
    "cloud_distance": ((), "from its centroid to that of all other rows", "weight"),
    "cloud_cosine": ((), "cosine between both centroids", "1"),
    "other_radius": (
        (),
        "root mean square distance of all other rows from their own centroid",
        "weight",
    ),
    "shell_low": ((), f"lower distance {SHELL}", "weight"),
    "shell_high": ((), f"upper distance {SHELL}", "weight"),
    "shell_of_cloud": ((), "share of the cloud's rows between these distances", "1"),
    "shell_of_others": ((), "number of other rows between them, or nearer", "1"),
}
COORDINATES = {"axis": ("axis of the cloud's principal plane, the longer one first", "1")}


def rows_of_cloud(known: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return which rows are the cloud: those known to be unused, or of none the reference.

    Parameters
    ----------
    known, reference : bool ndarray of shape (tokens,)
        As `examination.reference_of` gives them.
    """
    return known if known.any() else reference


def others_within(found: xr.Dataset) -> np.ndarray:
    """Return which other rows are no farther from the cloud's centroid than its shell.

    Parameters
    ----------
    found : Dataset
        Of a matrix that has a cloud, as `examination.examine` makes it.
    """
    cloud = rows_of_cloud(found["known"].values, found["reference"].values)
    return ~cloud & (found["to_centroid"].values <= found["shell_high"].item())


def describe_cloud(matrix: Matrix, sums: Moments, cloud: np.ndarray) -> dict[str, np.ndarray]:
    """Return where a cloud of rows lies, how it is shaped, and who lies where its rows do.

    Rows with values that are no finite numbers are in no centroid.

    Parameters
    ----------
    matrix : Matrix
    sums : Moments
        Of the same matrix.
    cloud : bool ndarray of shape (tokens,)
        Which rows are the cloud.

    Returns
    -------
    dict of str to ndarray
        See VARIABLES; empty if fewer than FEWEST rows are the cloud, or all are.
    """
    own = _summed(matrix, np.flatnonzero(cloud))
    count, centroid, covariance, unit = own.count, own.mean, own.covariance, own.unit
    others = sums.count - count
    if count < FEWEST or not others:
        return {}
    other = (sums.count * sums.mean - count * centroid) / others
    axes = _principal_plane(covariance, other - centroid)
    square, plane = _from_centroid(matrix, centroid, axes)
    distance = np.sqrt(square).astype(np.float32)  # as it is compared by whoever reads the file
    variance, dimension = np.trace(covariance), _dimension(covariance, count)
    low, high = shell(variance * count / (count - 1), dimension)
    deviation = np.sqrt(np.diag(covariance).clip(min=0.0))
    return {
        "to_centroid": distance,
        "plane": plane.astype(np.float32),
        "cloud_centroid": centroid,
        "other_centroid": other,
        "cloud_deviation": deviation,
        "cloud_units": np.divide(deviation, unit, out=np.full_like(unit, np.nan), where=unit > 0),
        "cloud_tokens": count,
        "cloud_radius": np.sqrt(variance),
        "cloud_dimension": dimension,
        "cloud_norm": np.linalg.norm(centroid),
        "cloud_distance": np.linalg.norm(centroid - other),
        "cloud_cosine": cosines(centroid[None], other[None]).item(),
        "other_radius": _radius_of_others(sums, count, centroid, variance, other),
        "shell_low": low,
        "shell_high": high,
        "shell_of_cloud": np.mean((distance[cloud] >= low) & (distance[cloud] <= high)),
        "shell_of_others": np.sum(distance[~cloud] <= high),
    }


def shell(variance: float, dimension: float) -> tuple[float, float]:
    """Return between which distances from its centroid `INSIDE` of a Gaussian cloud's rows lie.

    The squared distance, a sum of squares of normal numbers with different variances, is taken for
    gamma distributed with its mean and variance (Satterthwaite 1946).

    Parameters
    ----------
    variance : float
        Mean squared distance.
    dimension : float
        Effective dimension (participation ratio).
    """
    if not variance > 0:
        return 0.0, 0.0
    tail = (1 - INSIDE) / 2
    low, high = 2 * variance / dimension * gammaincinv(dimension / 2, [tail, 1 - tail])
    return float(np.sqrt(low)), float(np.sqrt(high))


@dataclass(frozen=True)
class _Rows:
    """Some rows: how many are finite, their mean, covariance, and mean unit in each component."""

    count: int
    mean: np.ndarray
    covariance: np.ndarray
    unit: np.ndarray


def _summed(matrix: Matrix, rows: np.ndarray) -> _Rows:
    """Sum up some rows, as their distances from the first one: a cloud can be small and far."""
    count, first, unit = 0, None, np.zeros(matrix.width)
    total, products = np.zeros(matrix.width), np.zeros((matrix.width, matrix.width))
    for start in range(0, len(rows), matrix.rows_of_piece):
        values, units = matrix.gathered(rows[start : start + matrix.rows_of_piece])
        finite = np.isfinite(values).all(1)
        if not finite.any():
            continue
        if first is None:
            first = values[finite][0].astype(np.float64)
        apart = values[finite] - first
        count += len(apart)
        total += apart.sum(0)
        products += apart.T @ apart
        unit += units[finite].sum(0, dtype=np.float64)
    if first is None:
        return _Rows(0, total, products, unit)
    mean = total / count
    return _Rows(count, first + mean, products / count - np.outer(mean, mean), unit / count)


def _dimension(covariance: np.ndarray, count: int) -> float:
    """Return the effective dimension of what a cloud was drawn from.

    Chance makes the variances of few rows unequal: the trace of the squared covariance is estimated
    without that bias (Bai & Saranadasa 1996).
    """
    degrees = count - 1
    sample = covariance * count / degrees
    trace, square = np.trace(sample), np.sum(sample**2)
    unbiased = degrees**2 / ((degrees - 1) * (degrees + 2)) * (square - trace**2 / degrees)
    if not trace > 0:
        return np.nan
    return float(np.clip(trace**2 / max(unbiased, np.finfo(float).tiny), 1, len(covariance)))


def _principal_plane(covariance: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Return the two longest axes of a cloud as columns, along which `towards` is not negative."""
    width = len(covariance)
    _, axes = eigh(covariance, subset_by_index=[max(width - 2, 0), width - 1])
    axes = axes[:, ::-1] * np.where(towards @ axes[:, ::-1] < 0, -1.0, 1.0)
    return np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))


def _from_centroid(
    matrix: Matrix, centroid: np.ndarray, axes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's squared distance from a centroid, and its place along some axes from it."""
    square, places = np.empty(matrix.tokens), np.empty((matrix.tokens, axes.shape[1]))
    for start, rows in matrix.pieces():
        part = slice(start, start + len(rows))
        with np.errstate(invalid="ignore", over="ignore"):
            apart = rows - centroid
            square[part] = np.einsum("ij,ij->i", apart, apart)
            places[part] = apart @ axes
    return square, places


def _radius_of_others(
    sums: Moments, count: int, centroid: np.ndarray, variance: float, other: np.ndarray
) -> float:
    """Return the radius of all rows but the cloud's, from the moments of all."""
    square = sums.count * np.trace(sums.products) - count * (centroid @ centroid + variance)
    return np.sqrt(np.maximum(square / (sums.count - count) - other @ other, 0.0))
