"""The ledger of a run as a labelled dataset: centroids, shares, quantiles, sums over the run."""

import numpy as np
import xarray as xr

from deadtokens.accounting.accounts import (
    AGAINST,
    DISPLACEMENT,
    EXP_AVG,
    GRAD,
    OLDER,
    STATISTICS,
    VECTORS,
)
from deadtokens.accounting.ages import AGES, split_by_age
from deadtokens.accounting.ledger import QUANTILES, Ledger
from deadtokens.accounting.terms import TERMS

COORDINATES = {
    "update": "update t takes state t-1 to state t",
    "population": "tokens that never occur in the training text, and the others",
    "term": "what a displacement is the sum of",
    "age": "updates since a gradient came; parts of present + momentum",
    "against": "direction opposite to which the displacement is held",
    "quantile": "quantile",
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
    dead, live = ledger.run.populations.astype(bool)
    sizes = np.array([dead.sum(), live.sum()])
    dataset = xr.merge(
        [_centroids(ledger, sizes), _tokens(ledger, sizes)], join="exact", compat="no_conflicts"
    )
    dataset["dead"] = ("token", dead, _about("the token never occurs in the training text"))
    dataset["closure"] = (
        "update",
        ledger.over_updates("closure"),
        _about("worst gap between a token's displacement and the sum of its terms, of their sizes"),
    )
    dataset["bound_ratio"] = (
        "update",
        ledger.over_updates("bound_ratio"),
        _about("worst size of a rounding term relative to its bound"),
    )
    return dataset.assign_coords(_coordinates(ledger))


def _coordinates(ledger: Ledger) -> dict[str, tuple]:
    updates = np.concatenate(
        [np.zeros(0, np.int64), *(np.array(s.updates) for s in ledger.segments)]
    )
    tokens, components = ledger.net_displacement.shape
    values = {
        "update": updates,
        "population": ["dead", "live"],
        "term": list(TERMS),
        "age": list(AGES),
        "against": list(AGAINST),
        "quantile": list(QUANTILES),
        "token": np.arange(tokens),
        "component": np.arange(components),
    }
    return {name: (name, values[name], _about(text)) for name, text in COORDINATES.items()}


def _centroids(ledger: Ledger, sizes: np.ndarray) -> xr.Dataset:
    components = ledger.run.h_mean.shape[1]
    sums = ledger.over_updates("sums", len(VECTORS), 2, components)
    factors = ledger.over_updates("factors", len(TERMS))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums / sizes[:, None]).transpose(0, 2, 1, 3)  # update, population, vector
        net = _net_centroids(ledger, sizes)
    terms = means[:, :, : len(TERMS)] * factors[:, None, :, None]
    displacement = means[:, :, DISPLACEMENT]
    ages = _ages(ledger, means, terms, factors)
    h_mean = np.broadcast_to(ledger.run.h_mean[: len(means), None], displacement.shape)
    against = np.stack([means[:, :, GRAD], means[:, :, EXP_AVG], h_mean], axis=2)
    axes = ("update", "population")
    return xr.Dataset(
        {
            "centroid_displacement": (
                (*axes, "component"),
                displacement,
                _about("mean displacement of the population's tokens", "weight"),
            ),
            "centroid_term": (
                (*axes, "term", "component"),
                terms,
                _about("mean of each term over the population's tokens", "weight"),
            ),
            "centroid_age": (
                (*axes, "age", "component"),
                ages,
                _about("mean of present + momentum, by the age of the gradients", "weight"),
            ),
            "centroid_displacement_norm": (
                axes,
                _norm(displacement),
                _about("norm of the centroid's displacement", "weight"),
            ),
            "centroid_intended_norm": (
                axes,
                _norm(terms[:, :, :-1].sum(axis=2)),
                _about("norm of the centroid's update without rounding", "weight"),
            ),
            "centroid_term_norm": (
                (*axes, "term"),
                _norm(terms),
                _about("norm of the centroid's terms", "weight"),
            ),
            "centroid_share": (
                (*axes, "term"),
                shares(terms, displacement),
                _about("share of each term in the centroid's displacement, along it"),
            ),
            "centroid_age_share": (
                (*axes, "age"),
                shares(ages, displacement),
                _about("share of each age of gradients in the centroid's displacement, along it"),
            ),
            "centroid_cosine": (
                (*axes, "against"),
                _cosines_against(displacement, against),
                _about("cosine of the centroid's displacement to minus the centroid of `against`"),
            ),
            "cumulated_share": (
                (*axes, "term"),
                shares(terms.cumsum(axis=0), net),
                _about("sum of each term until the update, along the centroid's net displacement"),
            ),
            "cumulated_age_share": (
                (*axes, "age"),
                shares(ages.cumsum(axis=0), net),
                _about("the same for each age of gradients"),
            ),
        }
    )


def _ages(ledger: Ledger, means: np.ndarray, terms: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the centroids' motion by age, (updates, populations, ages, components)."""
    _, present, momentum, _ = np.moveaxis(terms, 2, 0)
    step = factors[:, 1] + factors[:, 2]
    older = means[:, :, OLDER:] * step[:, None, None, None]
    ages = split_by_age(present, momentum, older, ledger.run.spec.beta1)
    gap = np.abs(ages.sum(axis=2) - present - momentum)
    if (gap > 1e-12 * np.abs(ages).sum(axis=2)).any():
        raise AssertionError("the ages do not sum to present and momentum")
    return ages


def _net_centroids(ledger: Ledger, sizes: np.ndarray) -> np.ndarray:
    """Return the net displacement of the populations' centroids, (populations, components)."""
    return ledger.run.populations @ ledger.net_displacement / sizes[:, None]


def shares(parts: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Return <part, displacement> / <displacement, displacement>, NaN where nothing moved.

    Parameters
    ----------
    parts : ndarray of shape (..., parts, components)
    displacement : ndarray of shape (..., components)

    Returns
    -------
    ndarray of shape (..., parts)
    """
    along = np.einsum("...pc,...c->...p", parts, displacement)
    with np.errstate(invalid="ignore", divide="ignore"):
        return along / np.einsum("...c,...c->...", displacement, displacement)[..., None]


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


def _cosines_against(displacement: np.ndarray, against: np.ndarray) -> np.ndarray:
    along = -np.einsum("...ac,...c->...a", against, displacement)
    with np.errstate(invalid="ignore", divide="ignore"):
        return along / (_norm(against) * _norm(displacement)[..., None])


def _tokens(ledger: Ledger, sizes: np.ndarray) -> xr.Dataset:
    quantiles = ledger.over_updates("quantiles", 2, len(STATISTICS), len(QUANTILES))
    at_rest = ledger.over_updates("at_rest", 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        rest_norm = ledger.over_updates("rest_norms", 2) / at_rest
    net_terms = ledger.net.transpose(1, 0, 2)
    axes = ("update", "population")
    return xr.Dataset(
        {
            "share_quantile": (
                (*axes, "term", "quantile"),
                quantiles[:, :, : len(TERMS)],
                _about("quantiles over moving tokens of a term's share, along the displacement"),
            ),
            "cosine_quantile": (
                (*axes, "against", "quantile"),
                quantiles[:, :, len(TERMS) :],
                _about("quantiles over moving tokens of cos(displacement, minus `against`)"),
            ),
            "tokens_at_rest": (
                axes,
                at_rest.astype(np.int64),
                _about("number of tokens that the update did not move; left out of quantiles"),
            ),
            "intended_norm_at_rest": (
                axes,
                rest_norm,
                _about("their mean norm of the update that rounding took away", "weight"),
            ),
            "tokens": ("population", sizes, _about("number of tokens")),
            "net_share": (
                ("token", "term"),
                shares(net_terms, ledger.net_displacement),
                _about("share of each term, summed over the run, in the net displacement"),
            ),
            "net_displacement_norm": (
                "token",
                _norm(ledger.net_displacement),
                _about("norm of the net displacement over the run", "weight"),
            ),
        }
    )


def _about(long_name: str, units: str = "1") -> dict[str, str]:
    return {"long_name": long_name, "units": units}
