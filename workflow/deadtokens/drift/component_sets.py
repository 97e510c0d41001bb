"""The principal components of the dead tokens' drift, and what their directions are."""

from collections.abc import Mapping

import numpy as np

from deadtokens.drift.components import (
    BAND,
    Components,
    band,
    count_above,
    isotropic_shares,
    moment_shares,
    principal_components,
    resampled_moments,
    shares_of,
)
from deadtokens.drift.directions import explained_alone, oriented
from deadtokens.statistics.cosines import cosines

CENTRING = ("raw", "centred")
NET, STEPS = "net displacement", "centroid displacement"
POSITIONS = ("initial position", "intermediate position", "final position")
SOURCES = (NET, STEPS, *POSITIONS)
LEADING = 3
NULL_QUANTILES = (BAND[0], 0.5, BAND[1])


def describe_components(
    sources: Mapping[str, np.ndarray],
    weights: np.ndarray,
    step_moments: np.ndarray,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return shares, bands, nulls and leading directions of every source, raw and centred.

    Parameters
    ----------
    sources : mapping of name to ndarray, shape (vectors, components)
        One vector a dead token, except for STEPS: one an update.
    weights : ndarray, shape (draws, dead tokens)
        Resamples of the dead tokens.
    step_moments : ndarray, shape (draws, components, components)
        Sums over updates of the outer products of the resampled centroids' steps.
    generator : numpy Generator
        For the null.
    """
    random = _random_shares(sources, generator)
    rows = []
    for name in SOURCES:
        moments = step_moments if name == STEPS else resampled_moments(sources[name], weights)
        for centred in (False, True):
            if name == STEPS:
                updates = len(sources[STEPS])
                draws = resampled_step_shares(moments, weights, sources[NET], updates, centred)
            else:
                draws = moment_shares(moments, sources[name], weights, centred)
            along = sources[NET].sum(axis=0, dtype=np.float64)
            components = principal_components(sources[name], centred)
            rows.append(_describe(components, draws, random[name, centred], along))
    shape = (len(SOURCES), len(CENTRING))
    return {"common_share": np.array([common_share(sources[name]) for name in SOURCES])} | {
        name: np.stack([row[name] for row in rows]).reshape(*shape, *np.shape(rows[0][name]))
        for name in rows[0]
    }


def _random_shares(
    sources: Mapping[str, np.ndarray], generator: np.random.Generator
) -> dict[tuple[str, bool], np.ndarray]:
    """Return the null of every source, raw and centred, (draws, components)."""
    shares = {}
    for names in ([name for name in SOURCES if name != STEPS], [STEPS]):
        keys = [(name, centred) for name in names for centred in (False, True)]
        found = isotropic_shares(
            [sources[name] for name, _ in keys], [centred for _, centred in keys], generator
        )
        shares.update(zip(keys, found, strict=True))
    return shares


def _describe(
    components: Components, resampled: np.ndarray, random: np.ndarray, along: np.ndarray
) -> dict[str, np.ndarray]:
    limits = band(components.share, resampled)
    null = np.quantile(random, NULL_QUANTILES, axis=0)
    return {
        "share": components.share,
        "share_band": limits.T,
        "null_share": null.T,
        "components_above_null": np.array(count_above(limits[0], null[-1])),
        "principal_direction": oriented(leading_rows(components.direction), along),
    }


def common_share(vectors: np.ndarray) -> float:
    """Return the share of the vectors' mean square that their mean alone explains: |mean|^2 of it.

    It is a lower bound of the first component's share where nothing is centred: as much of that
    component is what all vectors have in common. 1/n in the mean for n independent directions.

    Parameters
    ----------
    vectors : ndarray, shape (vectors, components)
    """
    vectors = vectors.astype(np.float64)
    with np.errstate(all="ignore"):
        mean = vectors.sum(axis=0) / len(vectors)
        return float(mean @ mean / (np.square(vectors).sum() / len(vectors)))


def leading_rows(directions: np.ndarray) -> np.ndarray:
    """Return the first LEADING rows, NaN where there are fewer."""
    missing = max(0, LEADING - len(directions))
    return np.pad(directions[:LEADING], ((0, missing), (0, 0)), constant_values=np.nan)


def resampled_step_shares(
    step_moments: np.ndarray, weights: np.ndarray, net: np.ndarray, updates: int, centred: bool
) -> np.ndarray:
    """Return the shares of the components of resampled centroids' steps.

    Parameters
    ----------
    step_moments : ndarray, shape (draws, components, components)
    weights : ndarray, shape (draws, tokens)
    net : ndarray, shape (tokens, components)
        Net displacements: their resampled mean is the sum of the resampled centroid's steps.
    updates : int
    centred : bool
    """
    if not updates:
        return np.full(step_moments.shape[:2], np.nan)
    moments = step_moments / updates
    if centred:
        mean = weights.astype(np.float64) @ net.astype(np.float64) / updates
        moments = moments - mean[:, :, None] * mean[:, None, :]
    return shares_of(moments)


def describe_directions(
    sources: Mapping[str, np.ndarray], principal: np.ndarray, candidates: np.ndarray
) -> dict[str, np.ndarray]:
    """Return cosines to the candidates, and what each candidate explains of each source.

    Parameters
    ----------
    sources : mapping of name to ndarray, shape (vectors, components)
    principal : ndarray, shape (sources, centrings, leading, components)
    candidates : ndarray, shape (candidates, components)
    """
    width = principal.shape[-1]
    flat = cosines(principal.reshape(-1, width), candidates)
    net = sources[NET].sum(axis=0, dtype=np.float64)
    return {
        "direction": candidates,
        "cosine": flat.reshape(*principal.shape[:-1], len(candidates)),
        "candidate_cosine": cosines(net[None], candidates)[0],
        "explained_alone": np.stack(
            [
                [explained_alone(_centred(sources[name], how), candidates) for how in CENTRING]
                for name in SOURCES
            ]
        ),
    }


def _centred(vectors: np.ndarray, how: str) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    return vectors if how == "raw" else vectors - vectors.sum(axis=0) / max(len(vectors), 1)
