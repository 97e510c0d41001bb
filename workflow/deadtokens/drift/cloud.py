"""A cloud of tokens: where it is, how large, of which shape, and how one update moves it.

Arrays come as the trajectory's reader gives them, (tokens, components, steps). A quantity that is
not defined (no tokens, nobody moved, numbers that are not finite) is NaN.
"""

from dataclasses import dataclass

import numpy as np

from deadtokens.loops import compiled
from deadtokens.statistics.spread import Spread


@dataclass(frozen=True)
class Positions:
    """A cloud at consecutive states.

    Attributes
    ----------
    centroid : float64 ndarray, shape (states, components)
    mean_norm : float64 ndarray, shape (states,)
        Mean over tokens of the L2 norm of W.
    radius : float64 ndarray, shape (states,)
        Root mean square distance of the tokens from their centroid.
    """

    centroid: np.ndarray
    mean_norm: np.ndarray
    radius: np.ndarray


@dataclass(frozen=True)
class Motion:
    """What consecutive updates did to a cloud; every array has shape (updates,).

    Attributes
    ----------
    movers : ndarray of int64
        Tokens with a displacement.
    bulk : float64 ndarray
        Squared norm of the mean displacement: the centroid's step.
    thermal : float64 ndarray
        Mean over tokens of the squared displacement relative to the centroid's.
    resultant_length : float64 ndarray
        Norm of the mean of the movers' unit displacements (Mardia & Jupp 2000, section 9.2).
    pairwise_cosine : float64 ndarray
        Mean cosine between the displacements of two different movers.
    """

    movers: np.ndarray
    bulk: np.ndarray
    thermal: np.ndarray
    resultant_length: np.ndarray
    pairwise_cosine: np.ndarray

    @property
    def mean_square(self) -> np.ndarray:
        """Mean over tokens of the squared displacement, those at rest included."""
        return self.bulk + self.thermal


class CloudSums:
    """Sums over the tokens of a cloud, a few tokens at a time, so that a processor's cache does.

    Parameters
    ----------
    components, steps : int
    """

    def __init__(self, components: int, steps: int):
        self.place, self.displacement = Spread(components, steps), Spread(components, steps)
        self.movers = np.zeros(steps, np.int64)
        self.unit, self.norm = np.zeros((components, steps)), np.zeros(steps)

    @property
    def tokens(self) -> int:
        """How many tokens were added."""
        return self.place.rows

    def add(self, W: np.ndarray, displacement: np.ndarray) -> None:
        """Add tokens.

        Parameters
        ----------
        W, displacement : float32 ndarray, shape (tokens, components, steps)
            W after each update, and what it was changed by.
        """
        self.place.add(W)
        self.displacement.add(displacement)
        _add_directions(displacement, self.movers, self.unit)
        _add_norms(W, self.norm)

    def positions(self) -> Positions:
        """Return the cloud at the states after the updates."""
        with np.errstate(all="ignore"):
            radius = np.sqrt(self.place.variance)
            return Positions(self.place.centroid.T, self.norm / self.tokens, radius)

    def motion(self) -> Motion:
        """Return what the updates did to the cloud."""
        with np.errstate(all="ignore"):
            resultant = np.linalg.norm(self.unit, axis=0) / self.movers
            return Motion(
                self.movers,
                np.square(self.displacement.centroid).sum(axis=0),
                self.displacement.variance,
                resultant,
                pairwise_cosine(resultant, self.movers),
            )


@compiled
def _add_directions(displacement: np.ndarray, movers: np.ndarray, unit: np.ndarray) -> None:
    """Count who moved, and add up the displacements divided by their norms."""
    squares = np.empty(displacement.shape[2], np.float32)
    for token in displacement:
        _squares(token, squares)
        for step in range(len(squares)):
            movers[step] += squares[step] > 0
            squares[step] = 1 / np.sqrt(squares[step]) if squares[step] > 0 else 0
        for component in range(len(token)):
            for step in range(len(squares)):
                unit[component, step] += token[component, step] * squares[step]


@compiled
def _add_norms(W: np.ndarray, norm: np.ndarray) -> None:
    squares = np.empty(W.shape[2], np.float32)
    for token in W:
        _squares(token, squares)
        for step in range(len(squares)):
            norm[step] += np.sqrt(squares[step])


@compiled
def _squares(row: np.ndarray, squares: np.ndarray) -> None:
    """Put in the sums of squares over components, (components, steps) to (steps,)."""
    squares[:] = 0
    for component in range(len(row)):
        for step in range(len(squares)):
            squares[step] += row[component, step] * row[component, step]


def covariance_sum(W: np.ndarray, centroid: np.ndarray) -> np.ndarray:
    """Return the sum over tokens of the outer products of their distances from the centroid.

    Parameters
    ----------
    W : float32 ndarray, shape (tokens, components, states)
    centroid : float64 ndarray, shape (states, components)

    Returns
    -------
    float32 ndarray, shape (states, components, components)
    """
    rows = np.ascontiguousarray(W.transpose(2, 0, 1))
    with np.errstate(all="ignore"):
        rows -= centroid.astype(np.float32)[:, None]
        return np.matmul(rows.transpose(0, 2, 1), rows)


def pairwise_cosine(resultant_length: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the mean cosine between two different of `count` unit vectors, without the pairs.

    The squared norm of their sum, (count R)^2, is the sum over all ordered pairs of cosines; count
    of them pair a vector with itself. NaN for fewer than two vectors.

    Parameters
    ----------
    resultant_length : ndarray
        R, the norm of the vectors' mean.
    count : ndarray of int
    """
    pairs = np.where(count > 1, count - 1.0, np.nan)
    return (count * np.square(resultant_length, dtype=np.float64) - 1) / pairs


def spectra(covariance: np.ndarray) -> np.ndarray:
    """Return the eigenvalues, descending, of covariance matrices.

    Parameters
    ----------
    covariance : ndarray, shape (matrices, components, components)

    Returns
    -------
    ndarray, shape (matrices, components)
        Not negative; NaN for a matrix that is not finite.
    """
    finite = np.isfinite(covariance).all(axis=(1, 2))
    eigenvalues = np.full(covariance.shape[:2], np.nan)
    eigenvalues[finite] = np.linalg.eigvalsh(covariance[finite])[:, ::-1]
    return np.maximum(eigenvalues, 0)


def effective_dimension(eigenvalues: np.ndarray) -> np.ndarray:
    """Return the participation ratio: D for a ball in D dimensions, 1 for a line.

    The squared sum of the eigenvalues over the sum of their squares.
    """
    with np.errstate(all="ignore"):
        return np.square(eigenvalues.sum(axis=-1)) / np.square(eigenvalues).sum(axis=-1)


@dataclass(frozen=True)
class Path:
    """The way of a centroid.

    Attributes
    ----------
    length : ndarray, shape (states,)
        Sum of the steps' norms since state 0.
    efficiency : ndarray, shape (states,)
        Distance from the start over `length`: 1 on a straight line; NaN before the first step.
    cosine : ndarray, shape (updates,)
        Of each step with the step before it; NaN at the first and where one of them is zero.
    """

    length: np.ndarray
    efficiency: np.ndarray
    cosine: np.ndarray


def follow_path(centroid: np.ndarray) -> Path:
    """Measure a path.

    Parameters
    ----------
    centroid : ndarray, shape (states, components)
    """
    steps = np.diff(centroid, axis=0)
    norms = np.linalg.norm(steps, axis=1)
    length = np.concatenate([[0.0], np.cumsum(norms)])
    with np.errstate(all="ignore"):
        efficiency = np.linalg.norm(centroid - centroid[0], axis=1) / length
        cosine = np.full(len(steps), np.nan)
        cosine[1:] = (steps[1:] * steps[:-1]).sum(axis=1) / (norms[1:] * norms[:-1])
    return Path(length, efficiency, cosine)


def isotropy(W: np.ndarray) -> float:
    """Return Mu & Viswanath's (2018) isotropy of embeddings: 1 if no direction is special.

    With Z(c) the sum over tokens of exp(c W), it is the least Z over the greatest, c running over
    the unit eigenvectors of the embeddings' uncentred second moment, here with both signs, so that
    it does not depend on the sign that an eigenvector happens to have. NaN without tokens.

    Parameters
    ----------
    W : ndarray, shape (tokens, components)
    """
    W = W.astype(np.float64)
    if not len(W) or not np.isfinite(W).all():
        return np.nan
    along = W @ np.linalg.eigh(W.T @ W)[1]
    highest = np.abs(along).max()  # taken out of both sums: exp must not overflow
    sums = np.exp(np.concatenate([along, -along], axis=1) - highest).sum(axis=0)
    return float(sums.min() / sums.max())
