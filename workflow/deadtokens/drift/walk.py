"""What a random walk with a path's own step sizes looks like: a null for paths.

A straight path is not the only one with a dominant principal component. Of a walk of n equal steps
in independent directions the k-th component explains 6 / (pi k)^2 of the variance of the positions,
in the limit of many steps and dimensions, and the path along it is half a wave (Antognini and
Sohl-Dickstein 2018, "PCA of high dimensional random walks with comparison to neural network
training"). So a path is held against walks whose steps are as long as its own, one by one.
"""

from collections.abc import Mapping

import numpy as np
from scipy.signal import lfilter

from deadtokens.drift.component_sets import NULL_QUANTILES
from deadtokens.drift.components import DRAWS, count_above, shares_of
from deadtokens.drift.plane import AXES


def walk_efficiency(norms: np.ndarray, alike: float = 0.0, span: int = 1) -> np.ndarray:
    """Return the root mean square efficiency of walks with given step norms.

    Exact in any dimension: the expected squared distance is the sum over pairs of steps of the
    product of their norms and their expected cosine, alike^k for steps k apart.

    Where a step is the sum of `span` = k equal ones, b = alike, neighbours have the cosine
    b (1 - b^k)^2 / (k (1 - b^2) - 2 b (1 - b^k)), and each step further apart b^k of it: sums over
    the pairs of k terms of an autoregression. For k = 1 this is b.

    Parameters
    ----------
    norms : ndarray, shape (updates,)
    alike : float
        Expected cosine of two neighbours: 0 for independent directions.
    span : int
        Updates between two recorded states.

    Returns
    -------
    ndarray, shape (updates + 1,)
        Distance from the start over the length of the path; NaN before the first motion.
    """
    kept = alike**span
    spread = span * (1 - alike**2) - 2 * alike * (1 - kept)
    neighbours = alike * (1 - kept) ** 2 / spread if alike != 1 else 1.0
    before = lfilter([0, neighbours], [1, -kept], norms) if len(norms) else norms
    square = np.cumsum(norms * (norms + 2 * before))
    length = np.cumsum(norms)
    with np.errstate(all="ignore"):
        return np.concatenate([[np.nan], np.sqrt(square) / length])


def walk_shares(norms: np.ndarray, width: int, generator: np.random.Generator) -> np.ndarray:
    """Return the shares of the principal components of walks' positions, DRAWS times.

    Parameters
    ----------
    norms : ndarray, shape (updates,)
    width : int
        D.
    generator : numpy Generator

    Returns
    -------
    ndarray, shape (draws, D)
        NaN where nothing moves, or a norm is not finite.
    """
    moments = np.full((DRAWS, width, width), np.nan)
    if not len(norms) or not 0 < norms.max() < np.inf:
        return shares_of(moments)
    lengths = (norms / norms.max()).astype(np.float32)[:, None]
    for draw in range(DRAWS):
        steps = generator.standard_normal((len(norms), width), np.float32)
        steps *= lengths / np.linalg.norm(steps, axis=1, keepdims=True)
        positions = np.cumsum(np.concatenate([np.zeros_like(steps[:1]), steps]), axis=0)
        positions -= positions.mean(axis=0)
        moments[draw] = positions.T @ positions
    return shares_of(moments)


def describe_walks(
    centroid: Mapping[str, np.ndarray],
    path_share: np.ndarray,
    beta1: float,
    generator: np.random.Generator,
    span: int = 1,
) -> dict[str, np.ndarray]:
    """Return what walks with the centroids' step sizes are like, and how the dead one compares.

    Parameters
    ----------
    centroid : mapping of population to ndarray, shape (states, components)
    path_share : ndarray, shape (components,)
        Shares of the principal components of the dead centroid's positions, centred.
    beta1 : float
        By which momentum makes neighbouring steps alike without any drift.
    generator : numpy Generator
    span : int
        Updates between two recorded states.
    """
    norms = {name: np.linalg.norm(np.diff(path, axis=0), axis=1) for name, path in centroid.items()}
    efficiency = [
        [walk_efficiency(one, alike, span) for alike in (0.0, beta1)] for one in norms.values()
    ]
    random = walk_shares(norms["dead"], len(path_share), generator)
    null = np.quantile(random, NULL_QUANTILES, axis=0).T
    return {
        "walk_efficiency": np.moveaxis(np.array(efficiency), -1, 0),
        "walk_share": null,
        "walk_plane_share": np.quantile(random[:, :AXES].sum(axis=1), NULL_QUANTILES),
        "path_components_above_walk": np.array(count_above(path_share, null[:, -1])),
    }
