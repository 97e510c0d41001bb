"""What stands out among the rows of an embedding matrix, as one dataset."""

from collections.abc import Container, Sequence
from itertools import product

import numpy as np
import xarray as xr

from deadtokens.labels import label
from deadtokens.matrices import cloud
from deadtokens.matrices.cloud import describe_cloud, rows_of_cloud
from deadtokens.matrices.duplicates import (
    clusters,
    first_alike,
    lattice,
    near_pairs,
    population,
)
from deadtokens.matrices.indicators import COORDINATE, INDICATORS, indicators, moments
from deadtokens.matrices.matrix import Matrix
from deadtokens.matrices.tokenizer import RESERVED
from deadtokens.matrices.tokens import DEAD, MISSING, Tokens
from deadtokens.statistics.roc import INTERVAL, areas_under_curves
from deadtokens.trajectory.populations import is_told

UNITS, NORMS = (1, 2, 4), ("Linf", "L1")
KNOWN_UNUSED = (DEAD, RESERVED, MISSING)  # kinds of tokens
LOWEST = 0.02  # of the tokens by the last indicator are suspects
BEST = ("cosine_without_first", "to_mean")  # with a reference, and without one
ALIKE, NEAR, IN_CLOUD, UNTRAINED, UNREACHABLE = (
    "same bits",
    "near",
    "in the cloud",
    "untrained",
    "unreachable",
)
_AREA = 'area under the ROC curve of "small means unused"'
_ASKED = "over the known tokens that are no reference, and all others but those never sampled"
# Name: axes, long name, unit.
VARIABLES = {
    "token_string": (("token",), "readable text", ""),
    "script": (("token",), "script of its characters", ""),
    "kind": (
        ("token",),
        "dead, never sampled, missing, reserved, special, byte, partial or ordinary",
        "",
    ),
    "unreachable": (("token",), "whether no text gives the token: yes, no, unknown", ""),
    "first_alike": (("token",), "first token whose row has the same bits", "1"),
    "population": (("token",), "tokens whose rows have the same bits", "1"),
    "cluster": (
        ("distance", "units", "token"),
        "first token of those that are connected by rows within so many units of each other: ulps, "
        "or steps of a quantization",
        "1",
    ),
    **{name: (("token",), about, "weight") for name, about in INDICATORS.items()},
    "known": (
        ("token",),
        "known to be unused: a dead token of a record, a reserved or missing row",
        "1",
    ),
    "reference": (
        ("token",),
        "one of those whose mean is the reference: every second known token, or, where none is "
        "known, those whose rows share their bits",
        "1",
    ),
    "why": (("token",), "why the token is a suspect, '' if it is none", ""),
    "area": (("indicator",), f"{_AREA}, {_ASKED}", "1"),
    "area_low": (("indicator",), f"{_AREA}, lower end of its {INTERVAL}", "1"),
    "area_high": (("indicator",), f"{_AREA}, upper end of its {INTERVAL}", "1"),
    "variance": (("direction",), "variance of the rows along a principal direction", "weight^2"),
    "hole_first": (("hole",), "first token of a cluster within one unit in every component", "1"),
    "hole_tokens": (("hole",), "tokens of the cluster", "1"),
    "hole_vectors": (("hole",), "different rows among them", "1"),
    "hole_largest": (("hole",), "tokens on the row that has the most", "1"),
    "hole_components": (("hole",), "components in which its rows differ", "1"),
    "hole_extent": (("hole",), "of the component in which they differ the most", "units"),
    **cloud.VARIABLES,
}
COORDINATES = {
    "indicator": COORDINATE,
    "direction": ("principal direction, the largest variance first", "1"),
    "hole": ("clusters of rows that are alike, the largest first", "1"),
    "distance": ("largest distance in a component, or sum over the components", ""),
    "units": ("distance up to which two rows are near", "units"),
    **cloud.COORDINATES,
}
WITHOUT_UNIT = ("cosine", "cosine_without_mean", "cosine_without_first")


def reference_of(tokens: Tokens, population: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which tokens are known to be unused, and which of the tokens are the reference.

    The reference is every second known one, so that it can be asked how well the others are told.
    Where none is known, it is the tokens whose rows share their bits: training would have parted
    them.

    Parameters
    ----------
    tokens : Tokens
    population : ndarray of shape (tokens,)
        As `duplicates.population` gives it.

    Returns
    -------
    known, reference : bool ndarray of shape (tokens,)
    """
    known = np.isin(tokens.kind, KNOWN_UNUSED)
    if not known.any():
        return known, population > 1
    reference = np.zeros(len(known), bool)
    reference[np.flatnonzero(known)[::2]] = True
    return known, reference


def best_indicator(names: Container[str]) -> str:
    """Return the one of some indicators by which suspects are told."""
    return next(name for name in BEST if name in names)


def examine(matrix: Matrix, tokens: Tokens) -> xr.Dataset:
    """Return what stands out among the rows of a matrix.

    How well an indicator tells the tokens that are known to be unused is its area. Tokens of a
    record that were never sampled are in none.

    Parameters
    ----------
    matrix : Matrix
    tokens : Tokens
        Of its rows.

    Returns
    -------
    Dataset
        Over ``token``, ``indicator``, ``hole`` and more; see VARIABLES.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # squares that are none, of a diverged run
        values = _measured(matrix, tokens)
    axes = {
        "token": np.arange(matrix.tokens, dtype=np.int32),
        "indicator": [name for name in INDICATORS if name in values],
        "direction": np.arange(1, matrix.width + 1),
        "hole": np.arange(1, len(values["hole_first"]) + 1),
    }
    if "cluster" in values:
        axes |= {"distance": list(NORMS), "units": list(UNITS)}
    if "plane" in values:
        axes |= {"component": np.arange(matrix.width), "axis": [1, 2]}
    variables = {
        name: (dims, about, "1" if name in WITHOUT_UNIT else unit)
        for name, (dims, about, unit) in VARIABLES.items()
        if name in values
    }
    coordinates = {name: COORDINATES[name] for name in axes if name in COORDINATES}
    found = label({**axes, **values}, variables, coordinates)
    return found.assign_attrs(_about(matrix, values))


def _measured(matrix: Matrix, tokens: Tokens) -> dict[str, np.ndarray]:
    alike, sums = _alike(matrix), moments(matrix)
    known, reference = reference_of(tokens, alike["population"])
    told = indicators(matrix, sums, np.flatnonzero(reference))
    values = _of_tokens(tokens) | alike | told | {"known": known, "reference": reference}
    values |= describe_cloud(matrix, sums, rows_of_cloud(known, reference))
    asked = ~reference & is_told(values["kind"])
    values |= areas_under_curves(told, known, asked) | {"variance": sums.spectrum()}
    return values | {"why": _why(values, told[best_indicator(told)])}


def _of_tokens(tokens: Tokens) -> dict[str, np.ndarray]:
    return {
        "token_string": np.array(tokens.readable),
        "script": np.array(tokens.script),
        "kind": np.array(tokens.kind),
        "unreachable": np.array(tokens.unreachable),
    }


def _alike(matrix: Matrix) -> dict[str, np.ndarray]:
    """Return which rows are alike, and the clusters of those within one unit of each other."""
    first = first_alike(matrix)
    found = {"first_alike": first, "population": population(first)}
    pairs = near_pairs(matrix, first, max(UNITS))
    cluster = first
    if pairs is not None:
        connected = [
            clusters(first, pairs, pairs.within(units, norm))
            for norm, units in product(NORMS, UNITS)
        ]
        found["cluster"] = np.stack(connected).reshape(len(NORMS), len(UNITS), -1)
        cluster = found["cluster"][NORMS.index("Linf"), UNITS.index(1)]
    holes = lattice(matrix, first, cluster)
    for name in ("first", "tokens", "vectors", "largest", "components", "extent"):
        kind = float if name == "extent" else np.int64
        found[f"hole_{name}"] = np.array([getattr(hole, name) for hole in holes], kind)
    return found


def _why(values: dict[str, np.ndarray], indicator: np.ndarray) -> np.ndarray:
    """Return why each token is a suspect: all reasons that it has."""
    reasons = {ALIKE: values["population"] > 1}
    if "cluster" in values:
        cluster = values["cluster"][NORMS.index("Linf"), UNITS.index(max(UNITS))]
        size = np.bincount(cluster, minlength=len(cluster))[cluster]
        reasons[NEAR] = size > values["population"]
    if "to_centroid" in values:
        reasons[IN_CLOUD] = values["to_centroid"] <= values["shell_high"]
    lowest = np.nanquantile(indicator, LOWEST) if np.isfinite(indicator).any() else -np.inf
    reasons[UNTRAINED] = indicator <= lowest
    reasons[UNREACHABLE] = values["unreachable"] == "yes"
    given = zip(*reasons.values(), strict=True)
    return np.array([", ".join(_chosen(reasons, flags)) for flags in given])


def _chosen(names: Sequence[str], flags: Sequence[bool]) -> list[str]:
    return [name for name, flag in zip(names, flags, strict=True) if flag]


def _about(matrix: Matrix, values: dict[str, np.ndarray]) -> dict[str, str | int]:
    about = {
        "title": "What stands out among the rows of an embedding matrix",
        "matrix": matrix.name,
        "format": matrix.format,
        "vocabulary_size": matrix.tokens,
        "width": matrix.width,
        "known_tokens": int(values["known"].sum()),
        "reference_tokens": int(values["reference"].sum()),
        "suspects": int((values["why"] != "").sum()),
    }
    if "cluster" not in values:
        about["left_out"] = "near rows: more pairs of rows are near than can be compared"
    return about
