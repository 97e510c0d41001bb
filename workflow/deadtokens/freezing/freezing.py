"""When tokens stand still: bitwise, on the recorded values of W.

A token is *frozen at t* if update t left every bit of its row unchanged. One pass over W.
"""

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

import numpy as np
import xarray as xr

from deadtokens.arguments import add_output, add_run
from deadtokens.freezing import labels
from deadtokens.freezing.forecast import cuts, describe_forecasts
from deadtokens.freezing.lasting import FRACTIONS, JUDGEMENTS
from deadtokens.freezing.lives import Lives
from deadtokens.freezing.moves import (
    BFLOAT16,
    QUANTILES,
    RECORDED,
    Moves,
    Rows,
    measure_moves,
)
from deadtokens.freezing.onset import conditions, onset_of
from deadtokens.freezing.order import effects, tied_times
from deadtokens.freezing.properties import token_groups, token_numbers
from deadtokens.freezing.steps import GRIDS, PHASES
from deadtokens.freezing.strata import sampled_tokens, sampled_updates
from deadtokens.freezing.survival import kaplan_meier
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.statistics.quantiles import time_quantiles
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.parts import load_tensor
from deadtokens.trajectory.pieces import read_pieces
from deadtokens.trajectory.populations import DEAD, describe_members, members_of
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.refusal import NOTHING, or_why_not, without_variables
from deadtokens.trajectory.segments import Segments
from deadtokens.trajectory.spans import describe_spans, recorded_from, spans_of

CRITERIA = ("last motion", "settled")
TRANSITIONS = ("jitter to hops", "hops to stillness", "hops to settled stillness")
LEVELS = (0.1, 0.5, 0.9)
COORDINATES = {
    "quantile": list(QUANTILES),
    "level": list(LEVELS),
    "phase": list(PHASES),
    "grid": list(GRIDS),
    "norm": ["L1", "L2", "Linf"],
    "criterion": list(CRITERIA),
    "transition": list(TRANSITIONS),
    "cut": list(FRACTIONS),
    "judgement": list(JUDGEMENTS),
}


def measure_freezing(segments: Segments) -> xr.Dataset:
    """Return the freezing of a run: of its populations, its tokens and its cloud.

    A token is frozen at an update that leaves every bit of its row as it was.

    Parameters
    ----------
    segments : path or sequence of paths
        The folder of a recording, or its segments in order.

    Returns
    -------
    Dataset
        Of every update, by population: ``frozen_fraction``, ``phase_fraction``,
        ``displacement_quantile`` and more. Of every token: ``last_change``, ``censored`` (it moved
        to the end), ``thaws``. Of the dead tokens together: ``surviving_fraction``,
        ``transition_update``, ``onset``. Each variable says what it is, in ``long_name`` and
        ``units``; the table of all is `deadtokens.freezing.labels`.

    Raises
    ------
    UserError
        If the segments cannot be read, or which tokens are dead is not known.

    Examples
    --------
    >>> freezing = measure_freezing("recorded/mine")
    >>> frozen = freezing.frozen_fraction.sel(population="dead")  # (update,)
    """
    run = open_run(segments)
    members = members_of(run)
    dead = members[DEAD]
    states, spans = run["state"].values, spans_of(run)
    last = int(states.max(initial=0))
    sampled = np.unique(recorded_from(sampled_updates(last), states))
    judged = recorded_from(cuts(last), states).tolist() if len(states) else cuts(last)
    pieces = read_pieces(segments, ["W"])
    with np.errstate(over="ignore", invalid="ignore"):  # the end of a diverged run
        moves = measure_moves(pieces, members, run.sizes["component"], sampled, judged)
    _say_per_update(moves.rows, spans)
    first = load_tensor(segments, "W", steps=slice(0, 1))[:, :, 0]
    groups, numbers = token_groups(run, dead), token_numbers(run, dead, first)
    values = {
        **moves.rows,
        **describe_tokens(moves.lives, run["token"].values),
        **describe_members(members),
        **estimate_survival(moves, members),
        **measure_transitions(moves.lives, dead),
        **find_onsets(moves, dead),
        **describe_forecasts(moves.judged, moves.lives, dead, QUANTILES, judged),
        **compare_tokens(moves.lives, dead, groups, numbers),
        **draw_strata(moves, dead, sampled, run["token"].values),
        **COORDINATES,
    }
    dataset = label(values, labels.VARIABLES, labels.COORDINATES)
    return dataset.assign(describe_spans(run)).assign_attrs(run_attributes(run))


def _say_per_update(rows: Rows, spans: np.ndarray) -> None:
    """Say of a velocity what it is per update, of an acceleration where it is none: NaN."""
    rows["radius_velocity"] = rows["radius_velocity"] / spans
    uneven = np.diff(spans, prepend=spans[:1]) != 0
    for name in ("acceleration_quantile", "centroid_acceleration"):
        rows[name][uneven] = np.nan


def describe_tokens(lives: Lives, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Return each token's last motion, phases, thaws and stretches of stillness."""
    after_phases = ("last_jitter", "thaws", "longest_still", "longest_broken", "hops")
    return {
        "token": tokens,
        "last_change": lives.last_motion[RECORDED],
        "censored": lives.moving[RECORDED],
        "last_motion": lives.last_motion.T,
        "unsettled": lives.unsettled.T,
        "last_in_phase": np.moveaxis(lives.last_in_phase, 0, -1),
        **{name: getattr(lives, name).T for name in after_phases},
    }


def _censored(lives: Lives) -> tuple[np.ndarray, ...]:
    """Return who was not seen to freeze, by each criterion, (grids, tokens)."""
    return lives.moving, lives.unsettled


def estimate_survival(moves: Moves, members: np.ndarray) -> dict[str, np.ndarray]:
    """Return the Kaplan-Meier estimate of the time of freezing, by each criterion."""
    lives, updates = moves.lives, moves.rows["update"]
    curves = [
        kaplan_meier(lives.last_motion[grid, chosen], censored[grid, chosen], updates)
        for chosen in members
        for grid in range(len(GRIDS))
        for censored in _censored(lives)
    ]
    shape = (len(members), len(GRIDS), len(CRITERIA), len(updates))
    return {
        f"surviving_{field}": np.moveaxis(
            np.reshape([getattr(one, field) for one in curves], shape), -1, 0
        )
        for field in ("fraction", "low", "high")
    }


def _passed(lives: Lives) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return when each token made each of TRANSITIONS, and whether it did not for good.

    Each (grids, tokens). For good is what lasted, see `Lives.lasts_since`.
    """
    plain = [(times, ~lives.lasts_since(times)) for times in (lives.last_jitter, lives.last_motion)]
    return [*plain, (lives.last_motion, lives.unsettled)]


def measure_transitions(lives: Lives, dead: np.ndarray) -> dict[str, np.ndarray]:
    """Return when the dead passed from thermal jitter to hops to stillness, and how sharply."""
    updates = np.array(
        [
            [time_quantiles(times[grid, dead], unknown[grid, dead], LEVELS) for grid in range(2)]
            for times, unknown in _passed(lives)
        ]
    )
    width = updates[..., -1] - updates[..., 0]
    return {"transition_update": updates, "transition_width": width}


def find_onsets(moves: Moves, dead: np.ndarray) -> dict[str, np.ndarray]:
    """Return when the dead tokens' freezing began, by each definition."""
    rows = moves.rows
    last_motion = moves.lives.last_motion[RECORDED, dead]
    found = conditions(
        rows["update"], rows["frozen_fraction"][:, DEAD], rows["radius_velocity"], last_motion
    )
    onsets = [onset_of(condition, rows["update"]) for condition in found.values()]
    names = ("duration", "ongoing", "stretches", "longest", "lasting")
    fields = {"onset": "first"} | {f"onset_{field}": field for field in names}
    return {
        "definition": np.array(list(found)),
        **{
            name: np.array([getattr(one, field) for one in onsets])
            for name, field in fields.items()
        },
    }


def compare_tokens(
    lives: Lives,
    dead: np.ndarray,
    groups: Mapping[str, np.ndarray],
    numbers: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Return how the dead tokens' times depend on what they are, with intervals."""
    found = [
        effects(tied_times(times[BFLOAT16, dead], unknown[BFLOAT16, dead]), groups, numbers)
        for times, unknown in _passed(lives)
    ]
    fields = {"effect": "size"} | {f"effect_{field}": field for field in ("low", "high", "tokens")}
    return {
        "property": np.array([effect.property for effect in found[0]], dtype=str),
        **{
            name: np.array([[getattr(effect, field) for effect in row] for row in found])
            for name, field in fields.items()
        },
        "effect_measure": np.array([effect.measure for effect in found[0]], dtype=str),
    }


def draw_strata(
    moves: Moves, dead: np.ndarray, sampled: np.ndarray, tokens: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the phases of sampled dead tokens at sampled updates."""
    chosen = sampled_tokens(moves.lives.last_motion[BFLOAT16, dead])
    return {
        "strata": moves.phases[:, chosen].T,
        "strata_update": sampled,
        "strata_token": tokens[dead][chosen],
    }


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``freezing``."""
    freezing = or_why_not(measure_freezing, options.segments, without_variables)
    write(freezing, options.output)
    if NOTHING in freezing.attrs:
        return
    if freezing.sizes["update"]:
        frozen = float(freezing.frozen_fraction.sel(population="dead")[-1])
        logging.getLogger(__name__).info(
            f"freezing {freezing.attrs['run']}: {frozen:.1%} of the dead tokens are frozen at "
            f"update {freezing['update'].values[-1]:,}"
        )
