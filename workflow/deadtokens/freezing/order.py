"""Which dead tokens freeze first and which last: effect sizes with confidence intervals.

Times count by their order alone. Tokens that were not seen to freeze share the end of the record,
later than all that were: their order among each other is unknown, and all are tied.

Effects and intervals are over the tokens of one run, each for itself: nothing is called more than
chance here. What a token spells can have no effect by construction, as no dead text is ever read
and all rows are drawn alike: its length and script are controls.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deadtokens.statistics.correlation import Z, spearman
from deadtokens.statistics.separation import separated

FEWEST = 10  # tokens in a group, and outside it, of which something is said


@dataclass(frozen=True)
class Effect:
    """How strongly times depend on a property.

    Attributes
    ----------
    property, measure : str
    tokens : int
        In the group for Cliff's delta; all with a value for Spearman's correlation.
    size, low, high : float
        From -1 (the group, or small values, last) to 1; NaN if the times are all the same.
    """

    property: str
    measure: str
    tokens: int
    size: float
    low: float
    high: float


def tied_times(times: np.ndarray, censored: np.ndarray) -> np.ndarray:
    """Return the times with all censored ones tied behind the last, int64 of shape (tokens,)."""
    return np.where(censored, times.max(initial=0) + 1, times)


def cliffs_delta(group: np.ndarray, rest: np.ndarray) -> tuple[float, float, float]:
    """Return P(group later) - P(group earlier) over pairs, and its 95 % interval.

    Consistent variance estimate and asymmetric interval of Feng and Cliff (2004), Journal of
    Modern Applied Statistical Methods 3 (2), 322.

    Parameters
    ----------
    group, rest : ndarray of shape (tokens,), at least two each
    """
    n, m = len(group), len(rest)
    of_group, of_rest = _dominance(group, rest), -_dominance(rest, group)
    delta = of_group.mean()
    if abs(delta) == 1:
        return float(delta), *separated(delta, min(n, m))
    unequal = _unequal_pairs(group, rest)
    variance = (
        m**2 * ((of_group - delta) ** 2).sum()
        + n**2 * ((of_rest - delta) ** 2).sum()
        - (unequal - n * m * delta**2)
    ) / (n * m * (n - 1) * (m - 1))
    # The estimate can fall below what so few pairs allow.
    variance = max(variance, (1 - delta**2) / (n * m - 1))
    spread = Z * np.sqrt(variance * ((1 - delta**2) ** 2 + Z**2 * variance))
    ends = (delta - delta**3 + np.array([-spread, spread])) / (1 - delta**2 + Z**2 * variance)
    return float(delta), max(float(ends[0]), -1.0), min(float(ends[1]), 1.0)


def _dominance(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return of each value the fraction of others below it minus that above it."""
    others = np.sort(others)
    below = np.searchsorted(others, values, "left")
    above = len(others) - np.searchsorted(others, values, "right")
    return (below - above) / len(others)


def _unequal_pairs(group: np.ndarray, rest: np.ndarray) -> int:
    rest = np.sort(rest)
    ties = np.searchsorted(rest, group, "right") - np.searchsorted(rest, group, "left")
    return len(group) * len(rest) - int(ties.sum())


def effects(
    times: np.ndarray, groups: Mapping[str, np.ndarray], numbers: Mapping[str, np.ndarray]
) -> list[Effect]:
    """Return each property's effect on the times.

    Parameters
    ----------
    times : ndarray of int, shape (tokens,)
        As `tied_times` gives them.
    groups : mapping of str to ndarray of str, shape (tokens,)
        Each of its levels with at least FEWEST tokens inside and outside is held against the rest.
    numbers : mapping of str to ndarray of float, shape (tokens,)
        NaN where a token has no such number.
    """
    found = [
        _of_group(f"{name}: {level}", times, values == level)
        for name, values in groups.items()
        for level in np.unique(values)
        if FEWEST <= np.count_nonzero(values == level) <= len(values) - FEWEST
    ]
    return found + [_of_number(name, times, values) for name, values in numbers.items()]


def _of_group(name: str, times: np.ndarray, chosen: np.ndarray) -> Effect:
    known = len(np.unique(times)) > 1
    answer = cliffs_delta(times[chosen], times[~chosen]) if known else [np.nan] * 3
    return Effect(name, "Cliff's delta", int(np.count_nonzero(chosen)), *answer)


def _of_number(name: str, times: np.ndarray, values: np.ndarray) -> Effect:
    known = np.isfinite(values)
    times, values = times[known], values[known]
    varied = min(len(np.unique(times)), len(np.unique(values))) > 1
    answer = spearman(values, times)[:3] if varied and len(times) >= FEWEST else [np.nan] * 3
    return Effect(name, "Spearman's correlation", len(times), *answer)
