"""The populations' centroids: what moved them, update by update."""

from dataclasses import dataclass

import numpy as np

from deadtokens.attribution.accumulator import Accumulator
from deadtokens.attribution.ages import split_by_age
from deadtokens.attribution.sums import EXP_AVG, GRAD, OLDER
from deadtokens.attribution.terms import DISPLACEMENT, PRESENT, TERMS
from deadtokens.statistics.shares import shares


@dataclass(frozen=True)
class Centroids:
    """Means over a population's tokens, by update.

    Attributes
    ----------
    displacement : float64 ndarray of shape (updates, populations, components)
    terms : float64 ndarray of shape (updates, populations, terms, components)
    ages : float64 ndarray of shape (updates, populations, ages, components)
        Of present + momentum, by the age of the gradients.
    against : float64 ndarray of shape (updates, populations, against, components)
    """

    displacement: np.ndarray
    terms: np.ndarray
    ages: np.ndarray
    against: np.ndarray


def describe_centroids(sums: Accumulator, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Return the centroids' motion: vectors, norms, shares, cosines, and sums over the run."""
    centroids = _centroids(sums, sizes)
    with np.errstate(invalid="ignore", divide="ignore"):
        net = _net_centroids(sums, sizes)
    return _vectors(centroids) | _norms(centroids) | _shares(centroids, net)


def _centroids(sums: Accumulator, sizes: np.ndarray) -> Centroids:
    factors = sums.numbers.factors
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums.over_tokens.vectors / sizes[:, None]).swapaxes(1, 2)
    terms = means[:, :, : len(TERMS)] * factors[:, None, :, None]
    displacement = means[:, :, DISPLACEMENT]
    h_mean = np.broadcast_to(sums.h_mean[:, None], displacement.shape)
    against = np.stack([means[:, :, GRAD], means[:, :, EXP_AVG], h_mean], axis=2)
    return Centroids(displacement, terms, _ages(sums, means, terms, factors), against)


def _vectors(centroids: Centroids) -> dict[str, np.ndarray]:
    return {
        "centroid_displacement": centroids.displacement,
        "centroid_term": centroids.terms,
        "centroid_age": centroids.ages,
    }


def _norms(centroids: Centroids) -> dict[str, np.ndarray]:
    intended = centroids.terms[:, :, :-1].sum(axis=2)
    return {
        "centroid_displacement_norm": norm(centroids.displacement),
        "centroid_intended_norm": norm(intended),
        "centroid_term_norm": norm(centroids.terms),
    }


def _shares(centroids: Centroids, net: np.ndarray) -> dict[str, np.ndarray]:
    """Return shares and cosines; `net`, (populations, components), is the net displacement."""
    displacement = centroids.displacement
    return {
        "centroid_share": shares(centroids.terms, displacement),
        "centroid_age_share": shares(centroids.ages, displacement),
        "centroid_cosine": _cosines_against(displacement, centroids.against),
        "cumulated_share": shares(centroids.terms.cumsum(axis=0), net),
        "cumulated_age_share": shares(centroids.ages.cumsum(axis=0), net),
    }


def _ages(
    sums: Accumulator, means: np.ndarray, terms: np.ndarray, factors: np.ndarray
) -> np.ndarray:
    """Return the centroids' motion by age, (updates, populations, ages, components)."""
    _, present, momentum, _ = np.moveaxis(terms, 2, 0)
    step = factors[:, PRESENT] / (1 - sums.numbers.beta1)  # of an average of gradients
    older = means[:, :, OLDER:] * step[:, None, None, None]
    ages = split_by_age(present, momentum, older, sums.numbers.beta1)
    gap = np.abs(ages.sum(axis=2) - present - momentum)
    if (gap > 1e-12 * np.abs(ages).sum(axis=2)).any():
        raise AssertionError("the ages do not sum to present and momentum")
    return ages


def _net_centroids(sums: Accumulator, sizes: np.ndarray) -> np.ndarray:
    """Return the net displacement of the populations' centroids, (populations, components)."""
    return sums.members @ sums.net_displacement / sizes[:, None]


def norm(vectors: np.ndarray) -> np.ndarray:
    """Return the L2 norms along the last axis."""
    return np.linalg.norm(vectors, axis=-1)


def _cosines_against(displacement: np.ndarray, against: np.ndarray) -> np.ndarray:
    along = -np.einsum("...ac,...c->...a", against, displacement)
    with np.errstate(invalid="ignore", divide="ignore"):
        return along / (norm(against) * norm(displacement)[..., None])
