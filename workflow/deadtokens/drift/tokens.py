"""The drift of single tokens against what is known of them."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from deadtokens.drift.dependence import (
    Effect,
    beyond_chance,
    pairs_alike,
    place_similarity,
    rank_correlation,
    sample,
    scores_and_residuals,
    spelling_similarity,
    variance_between,
)
from deadtokens.statistics.cosines import cosines

RESPONSES = ("score", "residual")
CENSUS_NUMBERS = ("length_bytes", "length_characters", "merge_rank", "count")
NUMBERS = (*CENSUS_NUMBERS, "initial norm", "initial place along the drift", "initial cosine to h")
CLASSES = ("script", "why_dead")
PROPERTIES = (*NUMBERS, *CLASSES)
LIKENESSES = ("spelling", "initial position")
PLACES = ("start", "end")
PLACE_COLUMNS = ("place_effect", "place_effect_range")  # none is a test: see `describe_tokens`


def describe_tokens(
    first: np.ndarray,
    last: np.ndarray,
    members: np.ndarray,
    census: xr.Dataset,
    early_h: np.ndarray,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return scores and residuals of all tokens, and how they depend on what a token is.

    Beside them stands how the tokens' places along the drift depend on it, at the end and at the
    start. A token that never moved would keep its place: what a property has to do with the start
    is the baseline for what it has to do with the end.

    Parameters
    ----------
    first, last : float32 ndarray, shape (tokens, components)
        W at the first and the last state.
    members : ndarray of bool, shape (populations, tokens)
    census : Dataset
        Properties over ``token``; those that are missing give NaN.
    early_h : ndarray, shape (components,)
        Sum or mean of the mean hidden states of updates 1 to 10, or of the first decade of
        updates of which one is recorded: only its direction counts.
    generator : numpy Generator
    """
    with np.errstate(all="ignore"):
        net = last.astype(np.float64) - first
        responses = {name: np.full(len(net), np.nan) for name in RESPONSES}
        effects, places, likenesses = [], [], []
        for chosen in members:
            tokens = np.flatnonzero(chosen)
            drift = net[tokens].sum(axis=0)
            split = scores_and_residuals(net[tokens], drift)
            for name, values in zip(RESPONSES, split, strict=True):
                responses[name][tokens] = values
            numbers = _numbers(census, first, tokens, drift, early_h)
            places.append(_places(numbers, first[tokens], last[tokens], drift))
            effects.append(_effects(numbers, _classes(census, tokens), split, generator))
            likenesses.append(_likenesses(census, first, net, tokens, generator))
    columns = _columns("effect", "effect", effects)
    columns = _judged(columns | _columns("likeness_effect", "likeness", likenesses))
    of_places = _columns("place_effect", "place_effect", places)
    return responses | columns | {name: of_places[name] for name in PLACE_COLUMNS}


def _judged(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns, and which effects are beyond chance, all tests of the run together."""
    shapes = {prefix: columns[f"{prefix}_p"].shape for prefix in ("effect", "likeness")}
    beyond = beyond_chance(np.concatenate([columns[f"{prefix}_p"].ravel() for prefix in shapes]))
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])[:-1]
    parts = zip(shapes.items(), np.split(beyond, ends), strict=True)
    return columns | {
        f"{prefix}_beyond_chance": part.reshape(shape) for (prefix, shape), part in parts
    }


def _numbers(
    census: xr.Dataset, first: np.ndarray, tokens: np.ndarray, drift: np.ndarray, h: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the tokens' properties that are numbers, NaN where one has none."""
    rows = first[tokens].astype(np.float64)
    known = {}
    for name in CENSUS_NUMBERS:
        values = census[name].values[tokens] if name in census else np.full(len(tokens), np.nan)
        known[name] = np.where(values >= 0, values, np.nan)  # the census has -1 for "none"
    return known | {
        "initial norm": np.linalg.norm(rows, axis=1),
        "initial place along the drift": scores_and_residuals(rows, drift)[0],
        "initial cosine to h": cosines(rows, h[None])[:, 0],
    }


def _classes(census: xr.Dataset, tokens: np.ndarray) -> dict[str, np.ndarray]:
    nothing = np.full(len(tokens), "")
    return {
        name: census[name].values[tokens].astype(str) if name in census else nothing
        for name in CLASSES
    }


def _effects(
    numbers: Mapping[str, np.ndarray],
    classes: Mapping[str, np.ndarray],
    responses: tuple[np.ndarray, np.ndarray],
    generator: np.random.Generator,
) -> list[list[Effect]]:
    correlations = [[rank_correlation(numbers[name], r) for r in responses] for name in NUMBERS]
    between = [
        [variance_between(r, classes[name], generator) for r in responses] for name in CLASSES
    ]
    return correlations + between


def _places(
    numbers: Mapping[str, np.ndarray], first: np.ndarray, last: np.ndarray, drift: np.ndarray
) -> list[list[Effect]]:
    """Return how places along the drift depend on the properties, by property and PLACES."""
    along = [scores_and_residuals(rows, drift)[0] for rows in (first, last)]
    return [[rank_correlation(numbers[name], place) for place in along] for name in NUMBERS]


def _likenesses(
    census: xr.Dataset,
    first: np.ndarray,
    net: np.ndarray,
    tokens: np.ndarray,
    generator: np.random.Generator,
) -> list[Effect]:
    tokens = sample(tokens, generator)
    spelt, spellings = _spellings(census, tokens)
    return [
        pairs_alike(spellings, net[spelt], generator),
        pairs_alike(place_similarity(first[tokens]), net[tokens], generator),
    ]


def _spellings(census: xr.Dataset, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the tokens that are spelt, which reserved rows are not, and how much alike.

    All and zeros if the census does not say.
    """
    if "token_bytes" not in census:
        return tokens, np.zeros((len(tokens), len(tokens)))
    texts = dict(zip(tokens, census["token_bytes"].values[tokens].astype(str), strict=True))
    spelt = np.array([token for token, text in texts.items() if text], dtype=tokens.dtype)
    return spelt, spelling_similarity([bytes.fromhex(texts[token]) for token in spelt])


def _columns(effect: str, prefix: str, effects: list) -> dict[str, np.ndarray]:
    """Return nested lists of effects as arrays of values, ranges, p and numbers of tokens."""
    table = np.array(effects, dtype=object)
    values, ranges, p, tokens = zip(
        *((e.value, (e.low, e.high), e.p, e.tokens) for e in table.flat), strict=True
    )
    return {
        effect: np.array(values).reshape(table.shape),
        f"{prefix}_range": np.array(ranges).reshape(*table.shape, 2),
        f"{prefix}_p": np.array(p).reshape(table.shape),
        f"{prefix}_tokens": np.array(tokens).reshape(table.shape),
    }
