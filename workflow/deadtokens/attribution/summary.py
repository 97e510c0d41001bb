"""The sums of a run as a labelled dataset: centroids, shares, quantiles, sums over the run."""

import numpy as np
import xarray as xr

from deadtokens.attribution.accumulator import QUANTILES, Accumulator
from deadtokens.attribution.ages import AGES
from deadtokens.attribution.centroids import about, label_centroids, norm
from deadtokens.attribution.terms import TERMS
from deadtokens.attribution.tokens import AGAINST
from deadtokens.labels import label
from deadtokens.statistics.shares import shares
from deadtokens.trajectory.populations import MEMBERS, describe_members

COORDINATES = {
    "update": "update t takes state t-1 to state t",
    "term": "what a displacement is the sum of",
    "age": "updates since a gradient came; parts of present + momentum",
    "against": "direction opposite to which the displacement is held",
    "quantile": "quantile over tokens, linear between two neighbours",
    "token": "row of the vocabulary",
    "component": "component of the embedding",
}


def summarise(sums: Accumulator) -> xr.Dataset:
    """Return what the sums of a run say of centroids and tokens, labelled.

    A share is <part, displacement> / <displacement, displacement>: the four terms' shares sum to 1,
    the ages' to those of present and momentum. Where nothing moves it is NaN.

    Parameters
    ----------
    sums : Accumulator
        To which all tiles were added.
    """
    sizes = sums.members.sum(axis=1)
    dataset = xr.merge(
        [
            label_centroids(sums, sizes),
            _tokens(sums),
            label(describe_members(sums.members), MEMBERS),
        ],
        join="exact",
        compat="no_conflicts",
    )
    dataset["closure"] = (
        "update",
        sums.closure,
        about("largest gap between a token's displacement and its terms' sum, of their sizes"),
    )
    dataset["bound_ratio"] = (
        "update",
        sums.over_tokens.bound_ratio,
        about("largest size of a rounding term relative to its bound"),
    )
    return dataset.assign_coords(_coordinates(sums))


def _coordinates(sums: Accumulator) -> dict[str, tuple]:
    tokens, components = sums.net_displacement.shape
    values = {
        "update": np.arange(1, len(sums.closure) + 1),
        "term": list(TERMS),
        "age": list(AGES),
        "against": list(AGAINST),
        "quantile": list(QUANTILES),
        "token": np.arange(tokens),
        "component": np.arange(components),
    }
    return {name: (name, values[name], about(text)) for name, text in COORDINATES.items()}


def _tokens(sums: Accumulator) -> xr.Dataset:
    quantiles, at_rest = sums.quantiles, sums.at_rest
    with np.errstate(invalid="ignore", divide="ignore"):
        rest_norm = sums.rest_norms / at_rest
    net_terms = sums.net.transpose(1, 0, 2)
    axes = ("update", "population")
    return xr.Dataset(
        {
            "share_quantile": (
                (*axes, "term", "quantile"),
                quantiles[:, :, : len(TERMS)],
                about("quantiles over moving tokens of a term's share, along the displacement"),
            ),
            "cosine_quantile": (
                (*axes, "against", "quantile"),
                quantiles[:, :, len(TERMS) :],
                about("quantiles over moving tokens of cos(displacement, minus `against`)"),
            ),
            "tokens_at_rest": (
                axes,
                at_rest.astype(np.int64),
                about("number of tokens that the update did not move; left out of quantiles"),
            ),
            "intended_norm_at_rest": (
                axes,
                rest_norm,
                about("their mean norm of the update that rounding took away", "weight"),
            ),
            "net_share": (
                ("token", "term"),
                shares(net_terms, sums.net_displacement),
                about("share of each term, summed over the run, in the net displacement"),
            ),
            "net_displacement_norm": (
                "token",
                norm(sums.net_displacement),
                about("norm of the net displacement over the run", "weight"),
            ),
        }
    )
