"""Rows that are alike: to the bit, or within a few units of their format.

A unit is the distance between neighbouring numbers there (one ulp), or the step of a quantization:
`Matrix.units`. Two rows are within k units if |a - b| <= k max(unit of a, unit of b) in every
component (Linf), or if these quotients sum to k at most (L1).
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from deadtokens.matrices.matrix import Matrix

FORMATS = ("bfloat16", "float16", "float32")  # of numbers; the others are quantizations
DIGEST = 16  # bytes of a row's digest: no two rows that differ have the same
COORDINATES = 12  # by which rows are found that can be near
MOST_PAIRS = 5_000_000
PART = 32  # components whose largest magnitude is a coordinate: a block of a quantization
TINY = np.finfo(np.float64).tiny
SAMPLED = 1000  # rows of which the neighbours are counted before
COMPARED = 2**22  # values of pairs of rows that are compared together
MOST_BYTES = 2**28  # of the rows that are compared


def first_alike(matrix: Matrix) -> np.ndarray:
    """Return for each row the first one that has the same bits.

    Returns
    -------
    int64 ndarray of shape (tokens,)
    """
    digests = np.empty(matrix.tokens, f"V{DIGEST}")
    for start, rows in matrix.pieces():
        for index, row in enumerate(np.ascontiguousarray(rows)):
            digests[start + index] = hashlib.blake2b(row, digest_size=DIGEST).digest()
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    return first[group]


def population(first: np.ndarray) -> np.ndarray:
    """Return for each row how many have its bits, itself among them, from `first_alike`."""
    return np.bincount(first, minlength=len(first))[first]


@dataclass(frozen=True)
class NearPairs:
    """Pairs of different rows that are within some units of each other.

    Attributes
    ----------
    one, other : int64 ndarray of shape (pairs,)
        Rows, ``one < other``; of rows with the same bits the first alone.
    largest : float32 ndarray of shape (pairs,)
        Largest distance in a component, in units (Linf).
    total : float32 ndarray of shape (pairs,)
        Sum over the components, in units (L1).
    """

    one: np.ndarray
    other: np.ndarray
    largest: np.ndarray
    total: np.ndarray

    def within(self, units: float, norm: str) -> np.ndarray:
        """Return which pairs are within so many units, by 'Linf' or 'L1'."""
        return {"Linf": self.largest, "L1": self.total}[norm] <= units


def near_pairs(matrix: Matrix, first: np.ndarray, units: int) -> NearPairs | None:
    """Find the pairs of different rows within some units in every component.

    Not all pairs are compared: those alone that are near in a few components. None if these are
    more than about MOST_PAIRS, or of rows that take more than MOST_BYTES. A row with a value that
    is no finite number is near to none.

    Parameters
    ----------
    matrix : Matrix
    first : ndarray of shape (tokens,)
        As `first_alike` gives it.
    units : int
    """
    different = np.unique(first)
    points, reach = _coordinates(matrix, units)
    different = different[np.isfinite(points[different]).all(1)]
    tree = KDTree(points[different])
    if _about_so_many_pairs(tree, reach) > MOST_PAIRS:
        return None
    pairs = tree.query_pairs(reach, p=np.inf, output_type="ndarray")
    rows, pairs = np.unique(different[pairs], return_inverse=True)
    if 8 * len(rows) * matrix.width > MOST_BYTES:
        return None
    one, other = np.sort(pairs.reshape(-1, 2), axis=1).T
    largest, total = _distances(*matrix.gathered(rows), one, other)
    near = np.flatnonzero(largest <= units)
    order = near[np.lexsort((other[near], one[near]))]
    return NearPairs(rows[one[order]], rows[other[order]], largest[order], total[order])


def _about_so_many_pairs(tree: KDTree, reach: float) -> float:
    """Return how many pairs a tree has within reach, from some of its points, evenly chosen."""
    some = tree.data[:: 1 + tree.n // SAMPLED]
    neighbours = tree.query_ball_point(some, reach, p=np.inf, return_length=True) - 1
    return neighbours.mean() * tree.n / 2 if len(some) else 0.0


def _coordinates(matrix: Matrix, units: int) -> tuple[np.ndarray, float]:
    """Return what of each row is compared first, and how far near rows can be apart in it.

    Of a number format the places of some components on its grid: rows within k units differ by k
    places there, or by 2 k where the grid becomes finer.

    Of a quantization the logarithms of the largest magnitudes M in some parts of a row. With the
    largest step u there, those of near rows differ by k u at most: by the share k u / M of the
    larger one, which is small, since steps are made to fit their largest magnitude.
    """
    if matrix.format in FORMATS:
        chosen = np.linspace(0, matrix.width - 1, min(COORDINATES, matrix.width)).astype(int)
        found = [
            np.where(
                np.isfinite(rows).all(1)[:, None], places(rows[:, chosen], matrix.format), np.nan
            )
            for _, rows in matrix.pieces()
        ]
        return np.concatenate(found), 2.0 * units
    largest, share = [], 0.0
    for start, rows in matrix.pieces():
        steps = np.broadcast_to(matrix.units(start, start + len(rows)), rows.shape)
        magnitude, step = _largest_of_parts(np.abs(rows)), _largest_of_parts(steps)
        some = magnitude > 0
        share = max(share, float((step[some] / magnitude[some]).max(initial=0.0)))
        largest.append(np.log(np.where(some, magnitude, TINY)))
    reach = -np.log1p(-units * share) if units * share < 1 else np.inf
    return np.concatenate(largest), reach * (1 + 1e-6)


def _largest_of_parts(values: np.ndarray) -> np.ndarray:
    """Return the largest value in each of some parts of every row, in float64."""
    starts = np.arange(0, values.shape[1], PART)
    largest = np.maximum.reduceat(values, starts, axis=1)
    chosen = np.linspace(0, len(starts) - 1, min(COORDINATES, len(starts))).astype(int)
    return largest[:, chosen].astype(np.float64)


def places(values: np.ndarray, format: str) -> np.ndarray:
    """Return the place of each value on its format's grid, counted from zero, with its sign.

    Parameters
    ----------
    values : float32 ndarray
        Numbers of the format.
    format : {'bfloat16', 'float16', 'float32'}
    """
    if format == "float16":
        bits = values.astype(np.float16).view(np.int16).astype(np.int64)
        magnitude = bits & 0x7FFF
    else:
        bits = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
        magnitude = (bits & 0x7FFFFFFF) >> (16 if format == "bfloat16" else 0)
    return np.where(bits < 0, -magnitude, magnitude)


def _distances(
    values: np.ndarray, units: np.ndarray, one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest and the summed distance of pairs of rows, in units."""
    largest, total = (np.empty(len(one), np.float32) for _ in range(2))
    count = max(1, COMPARED // values.shape[1])
    for start in range(0, len(one), count):
        some = slice(start, start + count)
        i, j = one[some], other[some]
        apart = np.abs(values[i].astype(np.float64) - values[j])
        differs = apart > 0  # a quantization may have a step of zero elsewhere
        unit = np.maximum(units[i], units[j])
        np.divide(apart, unit, out=apart, where=differs)
        largest[some], total[some] = apart.max(1), apart.sum(1)
    return largest, total


def clusters(first: np.ndarray, pairs: NearPairs, near: np.ndarray) -> np.ndarray:
    """Return for each row the first of its cluster: what is connected by bits or near pairs.

    Parameters
    ----------
    first : ndarray of shape (tokens,)
        As `first_alike` gives it.
    pairs : NearPairs
    near : bool ndarray of shape (pairs,)
        Which of them count.

    Returns
    -------
    int64 ndarray of shape (tokens,)
    """
    tokens = np.arange(len(first))
    one = np.concatenate([tokens, pairs.one[near]])
    other = np.concatenate([first, pairs.other[near]])
    links = coo_array((np.ones(len(one), bool), (one, other)), shape=2 * (len(first),))
    _, labels = connected_components(links, directed=False)
    _, representative = np.unique(labels, return_index=True)
    return representative[labels]


@dataclass(frozen=True)
class Cluster:
    """A cluster of rows that are alike, and the lattice that they occupy.

    Attributes
    ----------
    first : int
        Its first row.
    tokens : int
    vectors : int
        Different ones among them.
    largest : int
        Tokens on the vector that has the most.
    components : int
        In which its rows differ at all.
    extent : float
        Of the component in which they differ the most, in units.
    """

    first: int
    tokens: int
    vectors: int
    largest: int
    components: int
    extent: float


def lattice(matrix: Matrix, first: np.ndarray, cluster: np.ndarray) -> list[Cluster]:
    """Describe every cluster of more than one row, the largest first.

    Parameters
    ----------
    matrix : Matrix
    first, cluster : ndarray of shape (tokens,)
        As `first_alike` and `clusters` give them.
    """
    order = np.argsort(cluster, kind="stable")
    ends = np.flatnonzero(np.diff(cluster[order])) + 1
    found = [_describe(matrix, first[rows]) for rows in np.split(order, ends) if len(rows) > 1]
    return sorted(found, key=lambda one: (-one.tokens, one.first))


def _describe(matrix: Matrix, vectors: np.ndarray) -> Cluster:
    """Describe a cluster, of each token of which the first row with its bits is given."""
    different, tokens = np.unique(vectors, return_counts=True)
    values, units = matrix.gathered(different)
    spread = values.max(0).astype(np.float64) - values.min(0)
    differs = spread > 0
    extent = float((spread[differs] / units.max(0)[differs]).max(initial=0.0))
    sizes = int(tokens.sum()), len(different), int(tokens.max()), int(differs.sum())
    return Cluster(int(different[0]), *sizes, extent)
