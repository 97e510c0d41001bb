"""Principal components of a set of vectors, with a band and against chance.

A first component alone says little: random vectors have one too, and in D dimensions the largest
share of n of them is above 1/D. So each share of the variance comes with a bootstrap band, and with
what the same lengths give in random directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from deadtokens.drift.cloud import spectra

DRAWS = 200
BAND = (0.025, 0.975)
NEGLIGIBLE = 1e-12  # a share that is rounding: its direction means nothing


@dataclass(frozen=True)
class Components:
    """The principal components of vectors in D dimensions, all NaN if there are none.

    Attributes
    ----------
    direction : float64 ndarray, shape (D, D)
        Unit vectors, by falling share; NaN where the share is rounding error.
    share : float64 ndarray, shape (D,)
        Fraction of the variance that each explains (of the mean square, if not centred).
    """

    direction: np.ndarray
    share: np.ndarray


def principal_components(vectors: np.ndarray, centred: bool) -> Components:
    """Return the principal components, by scikit-learn.

    Those of vectors that are not centred are the components of the vectors together with their
    negatives, whose mean is zero.

    Parameters
    ----------
    vectors : ndarray, shape (vectors, D)
    centred : bool
        Whether the mean is taken out first. If it is not, a common direction is a component too.
    """
    width = vectors.shape[1]
    result = Components(np.full((width, width), np.nan), np.full(width, np.nan))
    vectors = _prepared(vectors, centred)
    if vectors is None:
        return result
    fit = PCA(svd_solver="covariance_eigh").fit(np.concatenate([vectors, -vectors]))
    found = len(fit.components_)
    result.share[:] = np.pad(fit.explained_variance_ratio_, (0, width - found))
    result.direction[:found] = fit.components_
    result.direction[result.share < NEGLIGIBLE] = np.nan
    return result


def _prepared(vectors: np.ndarray, centred: bool) -> np.ndarray | None:
    """Return the vectors in float64, centred if asked for; None if they have no variance."""
    vectors = vectors.astype(np.float64)
    if not len(vectors) or not np.isfinite(vectors).all():
        return None
    # Equal vectors differ from their mean by rounding, which is no variance.
    noise = np.abs(vectors).max() * 8 * np.finfo(np.float64).eps if centred else 0.0
    if centred:
        vectors = vectors - vectors.mean(axis=0)
    return vectors if np.abs(vectors).max() > noise else None


def shares_of(second_moment: np.ndarray) -> np.ndarray:
    """Return the share of the trace of each eigenvalue, descending.

    Parameters
    ----------
    second_moment : ndarray, shape (matrices, D, D)

    Returns
    -------
    ndarray, shape (matrices, D)
        NaN for a matrix that is zero or not finite.
    """
    eigenvalues = spectra(second_moment)
    with np.errstate(all="ignore"):
        return eigenvalues / eigenvalues.sum(axis=1, keepdims=True)


def resampled_moments(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the uncentred second moment of each resample, float64 of shape (draws, D, D)."""
    vectors = vectors.astype(np.float64)
    moments = np.empty((len(weights), vectors.shape[1], vectors.shape[1]))
    for draw, weight in enumerate(weights):
        moments[draw] = (vectors * weight[:, None]).T @ vectors
    return moments


def moment_shares(
    moments: np.ndarray, vectors: np.ndarray, weights: np.ndarray, centred: bool
) -> np.ndarray:
    """Return the shares in resamples of the vectors.

    Parameters
    ----------
    moments : ndarray, shape (draws, D, D)
        As `resampled_moments` gives them; they serve both ways of centring.
    vectors : ndarray, shape (vectors, D)
    weights : ndarray, shape (draws, vectors)
        How often each vector is in each resample, over their number: see `resampling_weights`.
    centred : bool
        Whether each resample's own mean is taken out.

    Returns
    -------
    ndarray, shape (draws, D)
    """
    if centred:
        moments = moments - _outer(weights @ vectors.astype(np.float64))
    return shares_of(moments)


def _outer(vectors: np.ndarray) -> np.ndarray:
    return vectors[:, :, None] * vectors[:, None, :]


def resampling_weights(count: int, generator: np.random.Generator) -> np.ndarray:
    """Return the weights of DRAWS bootstrap resamples of `count` things.

    Returns
    -------
    float32 ndarray, shape (draws, count)
    """
    if not count:
        return np.zeros((DRAWS, 0), np.float32)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return (drawn / count).astype(np.float32)


def band(estimate: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    """Return the basic bootstrap band of shares, (2, ...): the lower and the upper end.

    Resampling makes the leading share larger than it is (a resample has fewer different vectors),
    so the quantiles themselves would lie above the estimate. The basic band turns them over about
    it: 2 x estimate - quantile (Davison & Hinkley 1997, section 5.2), cut to [0, 1].

    Parameters
    ----------
    estimate : ndarray, shape (...)
    resampled : ndarray, shape (draws, ...)
    """
    high, low = 2 * estimate - np.quantile(resampled, BAND, axis=0)
    return np.clip([low, high], 0, 1)


def isotropic_shares(
    sets: Sequence[np.ndarray], centred: Sequence[bool], generator: np.random.Generator
) -> np.ndarray:
    """Return the shares of vectors of the same lengths in random directions, DRAWS times.

    Centred, the lengths are those after the mean is taken out: else a common motion would make
    the null wider than what is left of it.

    Parameters
    ----------
    sets : sequence of ndarray, shape (vectors, D)
        Sets of equally many vectors, which share the random directions.
    centred : sequence of bool
        For each set, whether the mean is taken out of it and of what is drawn.
    generator : numpy Generator

    Returns
    -------
    ndarray, shape (sets, draws, D)
        NaN for a set without variance.
    """
    lengths = [_lengths(*one) for one in zip(sets, centred, strict=True)]
    count, width = sets[0].shape
    moments = np.full((len(sets), DRAWS, width, width), np.nan)
    for draw in range(DRAWS):
        directions = generator.standard_normal((count, width), np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        for place, own in enumerate(lengths):
            if own is not None:
                moments[place, draw] = _random_moment(own, directions, centred[place])
    return np.stack([shares_of(one) for one in moments])


def _lengths(vectors: np.ndarray, centred: bool) -> np.ndarray | None:
    """Return the vectors' lengths over the largest, float32 of shape (vectors, 1)."""
    prepared = _prepared(vectors, centred)
    if prepared is None:
        return None
    lengths = np.linalg.norm(prepared, axis=1)
    return (lengths / lengths.max()).astype(np.float32)[:, None]


def _random_moment(lengths: np.ndarray, directions: np.ndarray, centred: bool) -> np.ndarray:
    random = directions * lengths
    if centred:
        random -= random.mean(axis=0)
    return random.T @ random


def count_above(low: np.ndarray, null_high: np.ndarray) -> int:
    """Return how many leading components are more than chance.

    A component counts if the lower end of its band is above the upper end of the null's, and all
    before it count too (parallel analysis, Horn 1965, with the band instead of the estimate). As
    the first that fails ends the sequence, the error of all is that of one test.

    Parameters
    ----------
    low, null_high : ndarray, shape (D,)
    """
    above = low > null_high  # NaN is not above
    return len(above) if above.all() else int(np.argmin(above))
