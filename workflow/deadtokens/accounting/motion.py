"""The ledger of a run as a labelled dataset: centroids, shares, quantiles, sums over the run."""

import numpy as np
import xarray as xr

from deadtokens.accounting.accounts import AGAINST, STATISTICS
from deadtokens.accounting.ages import AGES
from deadtokens.accounting.centroids import about, label_centroids, norm, shares
from deadtokens.accounting.ledger import QUANTILES, Ledger
from deadtokens.accounting.terms import TERMS
from deadtokens.analysis.populations import describe_members

COORDINATES = {
    "update": "update t takes state t-1 to state t",
    "term": "what a displacement is the sum of",
    "age": "updates since a gradient came; parts of present + momentum",
    "against": "direction opposite to which the displacement is held",
    "quantile": "quantile over tokens, linear between two neighbours",
    "token": "row of the vocabulary",
    "component": "component of the embedding",
}


def summarise(ledger: Ledger) -> xr.Dataset:
    """Return what the ledger says of centroids and tokens, labelled.

    A share is <part, displacement> / <displacement, displacement>: the four terms' shares sum to 1,
    the ages' to those of present and momentum. Where nothing moves it is NaN.

    Parameters
    ----------
    ledger : Ledger
        Closed.
    """
    members = ledger.run.populations.astype(bool)
    sizes = members.sum(axis=1)
    dataset = xr.merge(
        [label_centroids(ledger, sizes), _tokens(ledger, sizes), describe_members(members)],
        join="exact",
        compat="no_conflicts",
    )
    dataset["closure"] = (
        "update",
        ledger.over_updates("closure"),
        about("worst gap between a token's displacement and the sum of its terms, of their sizes"),
    )
    dataset["bound_ratio"] = (
        "update",
        ledger.over_updates("bound_ratio"),
        about("worst size of a rounding term relative to its bound"),
    )
    return dataset.assign_coords(_coordinates(ledger))


def _coordinates(ledger: Ledger) -> dict[str, tuple]:
    updates = np.concatenate(
        [np.zeros(0, np.int64), *(np.array(s.updates) for s in ledger.segments)]
    )
    tokens, components = ledger.net_displacement.shape
    values = {
        "update": updates,
        "term": list(TERMS),
        "age": list(AGES),
        "against": list(AGAINST),
        "quantile": list(QUANTILES),
        "token": np.arange(tokens),
        "component": np.arange(components),
    }
    return {name: (name, values[name], about(text)) for name, text in COORDINATES.items()}


def _tokens(ledger: Ledger, sizes: np.ndarray) -> xr.Dataset:
    quantiles = ledger.over_updates("quantiles", len(sizes), len(STATISTICS), len(QUANTILES))
    at_rest = ledger.over_updates("at_rest", len(sizes))
    with np.errstate(invalid="ignore", divide="ignore"):
        rest_norm = ledger.over_updates("rest_norms", len(sizes)) / at_rest
    net_terms = ledger.net.transpose(1, 0, 2)
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
                shares(net_terms, ledger.net_displacement),
                about("share of each term, summed over the run, in the net displacement"),
            ),
            "net_displacement_norm": (
                "token",
                norm(ledger.net_displacement),
                about("norm of the net displacement over the run", "weight"),
            ),
        }
    )
