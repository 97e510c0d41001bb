"""The sums of a run as a labelled dataset: centroids, shares, quantiles, sums over the run."""

import numpy as np
import xarray as xr

from deadtokens.attribution import labels
from deadtokens.attribution.accumulator import QUANTILES, Accumulator
from deadtokens.attribution.ages import AGES
from deadtokens.attribution.centroids import describe_centroids, norm
from deadtokens.attribution.terms import TERMS
from deadtokens.attribution.tokens import AGAINST
from deadtokens.labels import label
from deadtokens.statistics.shares import shares
from deadtokens.trajectory.populations import describe_members


def summarise(sums: Accumulator) -> xr.Dataset:
    """Return what the sums of a run say of centroids and tokens, labelled.

    A share is <part, displacement> / <displacement, displacement>: the four terms' shares sum to 1,
    the ages' to those of present and momentum. Where nothing moves it is NaN.

    Parameters
    ----------
    sums : Accumulator
        To which all tiles were added.
    """
    values = {
        **_coordinates(sums),
        **describe_centroids(sums, sums.members.sum(axis=1)),
        **_describe_tokens(sums),
        **describe_members(sums.members),
        "closure": sums.closure,
        "bound_ratio": sums.over_tokens.bound_ratio,
    }
    return label(values, labels.VARIABLES, labels.COORDINATES)


def _coordinates(sums: Accumulator) -> dict[str, np.ndarray]:
    return {
        "update": np.arange(1, len(sums.closure) + 1),
        "term": list(TERMS),
        "age": list(AGES),
        "against": list(AGAINST),
        "quantile": list(QUANTILES),
        "token": sums.tokens,
        "component": np.arange(sums.net_displacement.shape[1]),
    }


def _describe_tokens(sums: Accumulator) -> dict[str, np.ndarray]:
    quantiles, at_rest = sums.quantiles, sums.at_rest
    with np.errstate(invalid="ignore", divide="ignore"):
        rest_norm = sums.rest_norms / at_rest
    return {
        "share_quantile": quantiles[:, :, : len(TERMS)],
        "cosine_quantile": quantiles[:, :, len(TERMS) :],
        "tokens_at_rest": at_rest.astype(np.int64),
        "intended_norm_at_rest": rest_norm,
        "net_share": shares(sums.net.transpose(1, 0, 2), sums.net_displacement),
        "net_displacement_norm": norm(sums.net_displacement),
    }
