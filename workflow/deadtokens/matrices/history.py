"""From which update on each indicator sees the dead tokens of a run.

Of a real model the truth is not known, and its history is lost. Of a run of ours both are there:
the census says which tokens are dead, and W is recorded at every update.
"""

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

import numpy as np
import xarray as xr

from deadtokens.arguments import add_output, add_run
from deadtokens.labels import label
from deadtokens.matrices.indicators import COORDINATE, INDICATORS, SEEN, indicators, moments
from deadtokens.matrices.matrix import Array
from deadtokens.netcdf import write
from deadtokens.statistics.bins import logarithmic
from deadtokens.statistics.roc import INTERVAL, areas_under_curves
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.optional import check_all_rows
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.populations import MEMBERS, members_of
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.refusal import LEFT_OUT, NOTHING, or_why_not, without_variables
from deadtokens.trajectory.segments import Segments

log = logging.getLogger(__name__)

STATES = 60  # of a run, at most, evenly spaced in their logarithms, and the first
_OF = 'area under the ROC curve of "small means dead", dead tokens asked against live ones'
# Name: axes, long name, unit.
VARIABLES = {
    "area": (("indicator", "state"), _OF, "1"),
    "area_low": (("indicator", "state"), f"{_OF}, lower end of its {INTERVAL}", "1"),
    "area_high": (("indicator", "state"), f"{_OF}, upper end of its {INTERVAL}", "1"),
    "seen_from": (
        ("indicator",),
        f"first of these states from which on the area stays at {SEEN} or above; -1: it does not, "
        "or there is none",
        "update",
    ),
    "dead_mean": (("indicator", "state"), "mean of the indicator over the dead tokens asked", "1"),
    "live_mean": (("indicator", "state"), "mean of the indicator over the live tokens", "1"),
    "dead": MEMBERS["dead"],
    "never_sampled": MEMBERS["never_sampled"],
    "reference": (("token",), "the dead token is taken as known, and not asked", "1"),
}
COORDINATES = {"indicator": COORDINATE}


def follow_indicators(segments: Segments) -> xr.Dataset:
    """Return how well each indicator tells the dead tokens of a run, at some of its states.

    Every second dead token is taken as known, for the reference; the others are what is asked, and
    the live ones. A token that was never sampled is nothing to be told from a dead one: no update
    has met either. Where fewer than two tokens are dead, or none is live, there is nothing to tell.

    Parameters
    ----------
    segments : path or sequence of paths
        The folder of a recording, or its segments in order.

    Returns
    -------
    Dataset
        Over ``indicator`` and ``state``: ``area`` and more, see VARIABLES. Areas that cannot be had
        are NaN; the attribute ``left_out`` then says why.

    Raises
    ------
    UserError
        If the segments cannot be read or do not have every row of W, or which tokens are dead, or
        stood in a batch, is not known.

    Examples
    --------
    >>> history = follow_indicators("recorded/mine")
    >>> history.area.sel(indicator="cosine"), history.seen_from.to_series()
    """
    run = open_run(segments)
    check_all_rows(run, "the indicators")  # which hold each row against the mean of all
    truth, live, never_sampled = members_of(run)
    dead = np.flatnonzero(truth)
    known, reference = dead[::2], np.zeros(len(truth), bool)
    reference[known] = True
    asked = ~(reference | never_sampled)
    states = _wanted(run["state"].values)
    with np.errstate(over="ignore", invalid="ignore"):  # the end of a diverged run
        columns = [_told(W, known, asked, truth) for W in _each_W(segments, states)]
    values = {name: np.stack([one[name] for one in columns], axis=1) for name in columns[0]}
    values["seen_from"] = np.array([_seen_from(area, states) for area in values["area"]])
    values |= {"dead": truth, "never_sampled": never_sampled, "reference": reference}
    about = {"dead_tokens": len(dead), "reference_tokens": len(known)}
    if len(dead) < 2 or not live.any():
        about[LEFT_OUT] = (
            f"areas: {len(dead)} of {len(truth)} tokens are dead and {live.sum()} live; indicators "
            "need two dead ones, and live ones"
        )
    axes = {"indicator": list(INDICATORS), "state": states, "token": run["token"].values}
    found = label({**axes, **values}, VARIABLES, COORDINATES)
    return found.assign_attrs(run_attributes(run) | about)


def _wanted(states: np.ndarray) -> np.ndarray:
    """Return the states that are looked at: the first, and some of those behind it."""
    return states[np.union1d([0], logarithmic(len(states) - 1, STATES).clip(max=len(states) - 1))]


def _each_W(segments: Segments, states: np.ndarray) -> Iterator[np.ndarray]:
    """Yield W at some states, (tokens, components)."""
    for block in read_blocks(segments, ["W"], states):
        for place in np.flatnonzero(np.isin(block.steps, states)):
            yield np.ascontiguousarray(block.values["W"][..., place])


def _told(
    W: np.ndarray, known: np.ndarray, asked: np.ndarray, truth: np.ndarray
) -> dict[str, np.ndarray]:
    """Return what each indicator tells of a state."""
    matrix = Array("W", *W.shape, "float32", W)
    found = dict.fromkeys(INDICATORS, np.full(len(truth), np.nan, np.float32))
    found |= indicators(matrix, moments(matrix), known)
    of_dead, of_live = asked & truth, asked & ~truth
    return areas_under_curves(found, truth, asked) | {
        "dead_mean": np.array([_mean(values[of_dead]) for values in found.values()]),
        "live_mean": np.array([_mean(values[of_live]) for values in found.values()]),
    }


def _mean(values: np.ndarray) -> float:
    has = values[~np.isnan(values)]
    return float(has.mean(dtype=np.float64)) if len(has) else np.nan


def _seen_from(area: np.ndarray, states: np.ndarray) -> int:
    """Return the first state from which on the area stays at SEEN or above, -1 if it does not."""
    below = np.flatnonzero(~(area >= SEEN))
    first = below[-1] + 1 if len(below) else 0
    return int(states[first]) if first < len(states) else -1


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    add_output(parser)


def main(options: Namespace) -> None:
    """Write when each indicator sees the dead tokens."""
    found = or_why_not(follow_indicators, options.segments, without_variables)
    write(found, options.output)
    if NOTHING in found.attrs:
        return
    seen = ", ".join(
        f"{name} {'never' if at < 0 else f'from {at:,} on'}"
        for name, at in zip(found["indicator"].values, found["seen_from"].values, strict=True)
    )
    log.info(f"indicators {found.attrs['run']}: {found.attrs.get(LEFT_OUT, seen)}")
