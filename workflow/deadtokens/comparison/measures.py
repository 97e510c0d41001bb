"""What one run comes to: each outcome a number from one derived file.

All tokens are dead ones, all grids those of the recorded numbers: a token is frozen at an update
that left every bit of its row as it was. A run that diverged is measured as far as it went.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr

from deadtokens.drift.endpoint import CLUES, KEPT_UP, LAST, REST, SIGN, STAY, WHOLE
from deadtokens.drift.labels import INDEPENDENT
from deadtokens.freezing.lasting import SETTLED, UNSETTLED
from deadtokens.statistics.quantiles import time_quantiles
from deadtokens.stillness.causes import CAUSES, HOLDERS

DEAD = {"population": "dead"}
RECORDED = {"grid": "recorded"}
PART = 10  # the last tenth of the updates
TERMS = {"momentum": "momentum", "gradient": "present", "decay": "decay", "rounding": "rounding"}

# Who is judged after a quarter of the record: by what, and in words.
JUDGED = {
    "frozen": ([SETTLED, UNSETTLED], "at rest"),
    "settled": ([SETTLED], "settled"),
    "unsettled": ([UNSETTLED], "at rest, but not settled,"),
}
COSINE_TO_H = "initial cosine to h"
AT_A_QUARTER = RECORDED | {"cut": 0.25}
# Outcome: measure, forecast, span, and what it is.
ENDS = {
    "end_stay_explained": (
        "explained",
        STAY,
        WHOLE,
        "part of the dead tokens' centroid's squared net displacement that is explained by where "
        "it is after the first tenth of the updates",
    ),
    "end_drift_cosine": (
        "cosine",
        KEPT_UP,
        REST,
        "cosine between what the dead tokens' centroid does after the first tenth of the updates "
        "and what it did in it",
    ),
    "end_drift_length": (
        "length",
        KEPT_UP,
        REST,
        "the rest of its way over what it would be had the drift of the first tenth kept up",
    ),
    "end_step_cosine": (
        "cosine",
        LAST,
        REST,
        "cosine between the rest of its way and the last step of the first tenth",
    ),
    "end_hidden_cosine": (
        "cosine",
        SIGN,
        REST,
        "cosine between the rest of its way and minus the sign of the mean hidden state of the "
        "first tenth",
    ),
}
ALIGNED = dict(zip(("start", "early_hidden", "late_hidden"), CLUES, strict=True))

PRIMARY = "frozen"  # named before any run of a comparison was made


class Outcome(NamedTuple):
    """An outcome of a run.

    Attributes
    ----------
    file : str
        The derived file that says it.
    of : callable
        Gives the number from the file's dataset; not finite where there is none.
    long_name, unit : str
    undefined : str
        Why there is no number, if there are dead tokens.
    """

    file: str
    of: Callable[[xr.Dataset], float]
    long_name: str
    unit: str = "1"
    undefined: str = "no update was recorded"


def over_last_tenth(values: np.ndarray, spans: np.ndarray) -> float:
    """Return the mean over the last tenth of the updates, rounded up to a whole number of them.

    The parameters are those of `over_all`.
    """
    behind = spans.sum() - np.cumsum(spans)
    inside = np.clip(-(-spans.sum() // PART) - behind, 0, spans)
    return over_all(values[inside > 0], inside[inside > 0])


def over_all(values: np.ndarray, spans: np.ndarray) -> float:
    """Return the mean over the updates, NaN without any.

    Parameters
    ----------
    values, spans : ndarray of shape (recorded updates,)
        For how many updates each value stands.
    """
    return float(np.average(values.astype(np.float64), weights=spans)) if len(values) else np.nan


def largest_change(values: np.ndarray) -> float:
    """Return the largest distance of a value from the first one, NaN without any.

    Parameters
    ----------
    values : ndarray of shape (updates,)
    """
    return float(np.max(np.abs(values - values[0]))) if len(values) else np.nan


def first_reaching(level: float, fractions: np.ndarray, updates: np.ndarray) -> float:
    """Return the first of the updates whose fraction is at least `level`, NaN if none is."""
    reached = updates[fractions >= level]
    return float(reached[0]) if reached.size else np.nan


def _spans(data: xr.Dataset) -> np.ndarray:
    """Return for how many updates each recorded one stands, see `trajectory.spans`."""
    return data.get("updates_since", xr.ones_like(data["update"])).values


def _frozen(freezing: xr.Dataset) -> np.ndarray:
    return freezing["frozen_fraction"].sel(DEAD).values


def _first_frozen(level: float, freezing: xr.Dataset) -> float:
    return first_reaching(level, _frozen(freezing), freezing["update"].values)


def _still(freezing: xr.Dataset) -> np.ndarray:
    return 1 - freezing["moved_fraction"].sel(DEAD | RECORDED).values


def _of_dead(name: str, freezing: xr.Dataset) -> np.ndarray:
    return freezing[name].sel(RECORDED).values[freezing["dead"].values.astype(bool)]


def _last_motion(freezing: xr.Dataset) -> float:
    times, censored = (_of_dead(name, freezing) for name in ("last_motion", "unsettled"))
    return float(time_quantiles(times, censored.astype(bool), [0.5])[0])


def _moved_again(judgements: list[str], freezing: xr.Dataset) -> float:
    tokens, moved = (
        int(freezing[f"forecast_{name}"].sel(AT_A_QUARTER | {"judgement": judgements}).sum())
        for name in ("tokens", "moved")
    )
    return moved / tokens if tokens else np.nan


def _settled_shift(freezing: xr.Dataset) -> float:
    shift = freezing["forecast_shift_quantile"].sel(AT_A_QUARTER)
    return float(shift.sel(judgement=SETTLED, quantile=0.5))


def _at_end(name: str, drift: xr.Dataset) -> float:
    return float(drift[name].sel(DEAD)[-1])


def _net_displacement(drift: xr.Dataset) -> float:
    centroid = drift["centroid"].sel(DEAD)
    return float(np.linalg.norm(centroid[-1] - centroid[0]))


def _radius_change(drift: xr.Dataset) -> float:
    radius = drift["radius"].sel(DEAD)
    return float(radius[-1] - radius[0])


def _first_component(centring: str, drift: xr.Dataset) -> float:
    shares = drift["share"].sel(source="net displacement", centring=centring)
    return float(shares[0])


def _end(measure: str, forecast: str, span: str, drift: xr.Dataset) -> float:
    return float(drift[f"end_forecast_{measure}"].sel(forecast=forecast, span=span))


def _aligned(clue: str, drift: xr.Dataset) -> float:
    return float(drift["end_clue_cosine"].sel(clue=clue))


def _place_of_h(place: str, drift: xr.Dataset) -> float:
    return float(drift["place_effect"].sel(DEAD | {"number": COSINE_TO_H, "place": place}))


def _way_of_h(drift: xr.Dataset) -> float:
    return float(drift["effect"].sel(DEAD | {"property": COSINE_TO_H, "response": "score"}))


def _cause(name: str, stillness: xr.Dataset) -> float:
    totals = stillness["cause_total"]
    still = int(totals.sum())
    return int(totals.sel(cause=name)) / still if still else np.nan


def _held(holder: str, stillness: xr.Dataset) -> float:
    still = int(stillness["combination_total"].sum())
    return int(stillness["holder_total"].sel(holder=holder)) / still if still else np.nan


def _share(term: str, attribution: xr.Dataset) -> float:
    shares = attribution["cumulated_share"].sel(DEAD | {"term": term}).values
    return float(shares[-1]) if len(shares) else np.nan


def _entropy(scalars: xr.Dataset) -> np.ndarray:
    """Return the entropy of every update, of none where an older record has no entropy."""
    return np.asarray(scalars.get("entropy", ()), np.float64)


def _last_entropy(scalars: xr.Dataset) -> float:
    entropy = _entropy(scalars)
    return over_last_tenth(entropy, _spans(scalars)) if len(entropy) else np.nan


def _diverged(data: xr.Dataset) -> bool:
    return data.attrs["status"] == "diverged"


_FREEZING, _DRIFT = "freezing.nc", "drift.nc"
_NO_ENTROPY = "no update was recorded, or without its entropy"
_NO_MOTION = "the dead tokens' centroid did not move"

OUTCOMES = {
    PRIMARY: Outcome(
        _FREEZING,
        lambda freezing: over_last_tenth(_frozen(freezing), _spans(freezing)),
        "fraction of the dead tokens at rest, mean over the last tenth of the updates",
    ),
    "still": Outcome(
        _FREEZING,
        lambda freezing: over_last_tenth(_still(freezing), _spans(freezing)),
        "fraction of the dead tokens' components at rest, mean over the last tenth of the updates",
    ),
    "still_over_run": Outcome(
        _FREEZING,
        lambda freezing: over_all(_still(freezing), _spans(freezing)),
        "fraction of the dead tokens' components at rest, mean over all updates",
    ),
    "last_motion": Outcome(
        _FREEZING,
        _last_motion,
        "median over the dead tokens of the last update that moved them, later for unsettled ones",
        "update",
        "more than half of the dead tokens had not settled when the record ended",
    ),
    "settled": Outcome(
        _FREEZING,
        lambda freezing: float(np.sum(~_of_dead("unsettled", freezing).astype(bool))),
        "dead tokens that had settled when the record ended",
    ),
    "unsettled": Outcome(
        _FREEZING,
        lambda freezing: float(np.sum(_of_dead("unsettled", freezing))),
        "dead tokens that had not settled when the record ended: their last motion is censored",
    ),
    "half_frozen": Outcome(
        _FREEZING,
        partial(_first_frozen, 0.5),
        "first update that left half of the dead tokens frozen",
        "update",
        "no update left so many frozen",
    ),
    "most_frozen": Outcome(
        _FREEZING,
        partial(_first_frozen, 0.9),
        "first update that left 90 % of the dead tokens frozen",
        "update",
        "no update left so many frozen",
    ),
    "thawed": Outcome(
        _FREEZING,
        lambda freezing: float(np.sum(_of_dead("thaws", freezing) > 0)),
        "dead tokens that moved again after an update had left them frozen",
    ),
    "thaws": Outcome(
        _FREEZING,
        lambda freezing: float(np.mean(_of_dead("thaws", freezing))),
        "how often a dead token moved again after an update had left it frozen, mean over them",
    ),
    **{
        f"forecast_{name}_moved": Outcome(
            _FREEZING,
            partial(_moved_again, judgements),
            f"of the dead tokens {words} after a quarter of the updates, the fraction that moved "
            "again",
            undefined="no dead token was so after a quarter of the updates",
        )
        for name, (judgements, words) in JUDGED.items()
    },
    "forecast_settled_shift": Outcome(
        _FREEZING,
        _settled_shift,
        "how much later the last motion is of those that had settled and moved again, median",
        "update",
        "no dead token that had settled after a quarter of the updates moved again",
    ),
    **{
        f"cause_{name.replace(' ', '_')}": Outcome(
            "stillness.nc",
            partial(_cause, name),
            f"fraction of all still components, over the run, with the cause '{name}'",
            undefined="no component stood still",
        )
        for name in CAUSES
    },
    **{
        f"held_{name.removeprefix('weight, ').replace(' ', '_')}": Outcome(
            "stillness.nc",
            partial(_held, name),
            f"fraction of all still components, over the run, that these formats alone would have "
            f"kept still, whatever others do: {name}",
            undefined="no component stood still",
        )
        for name in HOLDERS
    },
    "path_length": Outcome(
        _DRIFT,
        partial(_at_end, "path_length"),
        "length of the path of the dead tokens' centroid",
        "weight",
    ),
    "net_displacement": Outcome(
        _DRIFT,
        _net_displacement,
        "distance of the dead tokens' centroid from its start",
        "weight",
    ),
    "path_efficiency": Outcome(
        _DRIFT,
        partial(_at_end, "efficiency"),
        "net_displacement over path_length",
        undefined=_NO_MOTION,
    ),
    "walk_efficiency": Outcome(
        _DRIFT,
        lambda drift: float(drift["walk_efficiency"].sel(DEAD | {"walk": INDEPENDENT})[-1]),
        "root mean square efficiency of random walks with the same step norms",
        undefined=_NO_MOTION,
    ),
    "radius_change": Outcome(
        _DRIFT,
        _radius_change,
        "change over the run of the root mean square distance of the dead tokens from their "
        "centroid",
        "weight",
    ),
    "first_component": Outcome(
        _DRIFT,
        partial(_first_component, "raw"),
        "share of the first principal component in the dead tokens' net displacements, not centred",
        undefined="no dead token moved",
    ),
    "first_component_centred": Outcome(
        _DRIFT,
        partial(_first_component, "centred"),
        "the same of what is left when their mean, the common drift, is taken out",
        undefined="all dead tokens went the same way",
    ),
    "common_share": Outcome(
        _DRIFT,
        lambda drift: float(drift["common_share"].sel(source="net displacement")),
        "share of the mean square of these displacements that their mean alone explains",
        undefined="no dead token moved",
    ),
    "end_arrival": Outcome(
        _DRIFT,
        lambda drift: float(drift["end_arrival"]),
        "update from which the dead tokens' centroid stays within a tenth of its net displacement "
        "of where it ends",
        "update",
        _NO_MOTION,
    ),
    "end_reach": Outcome(
        _DRIFT,
        lambda drift: float(drift["end_reach"]),
        "how far it had come at end_arrival, over full steps of the learning rate in every "
        "component",
        undefined=_NO_MOTION,
    ),
    **{
        name: Outcome(
            _DRIFT, partial(_end, *which), long_name, undefined="no motion in one of the parts"
        )
        for name, (*which, long_name) in ENDS.items()
    },
    **{
        f"end_{name}_cosine": Outcome(
            _DRIFT,
            partial(_aligned, clue),
            f"cosine between where the dead tokens' centroid ends and the {clue}",
            undefined="one of the two is zero",
        )
        for name, clue in ALIGNED.items()
    },
    **{
        f"initial_h_{name}": Outcome(
            _DRIFT,
            of,
            "rank correlation over dead tokens of the initial cosine to h, the mean hidden state "
            f"of updates 1 to 10, with {words}",
            undefined="too few dead tokens, or none moved",
        )
        for name, (of, words) in {
            "end": (partial(_place_of_h, "end"), "the place along the drift at the end"),
            "start": (partial(_place_of_h, "start"), "that at the start, the baseline of the end"),
            "way": (_way_of_h, "the way gone along the drift"),
        }.items()
    },
    **{
        f"share_{name}": Outcome(
            "attribution.nc",
            partial(_share, term),
            f"share of the term '{term}', summed over the run, in the net displacement of the dead "
            "tokens' centroid",
            undefined=_NO_MOTION,
        )
        for name, term in TERMS.items()
    },
    "loss": Outcome(
        "scalars.nc",
        lambda scalars: over_last_tenth(scalars["loss"].values, _spans(scalars)),
        "cross-entropy of the batch, mean over the last tenth of the updates",
        "nat",
        "the loss was not finite",
    ),
    "entropy": Outcome(
        "scalars.nc",
        _last_entropy,
        "entropy of the prediction, mean over positions and over the last tenth of the updates",
        "nat",
        _NO_ENTROPY,
    ),
    "entropy_change": Outcome(
        "scalars.nc",
        lambda scalars: largest_change(_entropy(scalars)),
        "largest distance of the prediction's entropy, mean over positions, from that at the first "
        "update",
        "nat",
        _NO_ENTROPY,
    ),
    "diverged": Outcome(
        "scalars.nc",
        lambda scalars: float(_diverged(scalars)),
        "1 if the run ended because its loss was not finite, else 0",
    ),
}
FILES = tuple(dict.fromkeys(outcome.file for outcome in OUTCOMES.values()))


def measure(file: str, data: xr.Dataset) -> dict[str, tuple[float, str]]:
    """Return the outcomes that one derived file says, each with why there is none.

    Parameters
    ----------
    file : str
        Its name, one of `FILES`.
    data : Dataset

    Returns
    -------
    dict of str to (float, str)
        The number and an empty text, or NaN and the reason.

    Raises
    ------
    KeyError
        If the dataset lacks what such a file has.
    """
    return {
        name: measure_one(outcome, data)
        for name, outcome in OUTCOMES.items()
        if outcome.file == file
    }


def measure_one(outcome: Outcome, data: xr.Dataset) -> tuple[float, str]:
    """Return an outcome from the derived file that says it, as `measure` does."""
    if _has_no_dead_tokens(data):
        return np.nan, "no dead tokens"
    value = outcome.of(data)
    if np.isfinite(value):
        return value, ""
    return np.nan, outcome.undefined + "; the run diverged" * _diverged(data)


def _has_no_dead_tokens(data: xr.Dataset) -> bool:
    """Tell by the mask, or by a file's own tokens if they are dead ones alone, if it has tokens."""
    return not data["dead"].any() if "dead" in data else data.sizes.get("token") == 0
