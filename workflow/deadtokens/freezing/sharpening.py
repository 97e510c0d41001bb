"""Can a sharpening softmax alone freeze a token? Forces and motion of the dead, update by update.

A sharper softmax gives dead tokens less probability and smaller gradients. Adam divides the scale
of a gradient out again, but only while that scale changes slowly against 1 / (1 - beta2) and the
root of the second moment stays well above eps. Here is, for every update, what holds: in medians
over a sample of the dead tokens, read in one pass over those chunks of the record that hold it.
"""

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
import xarray as xr

from deadtokens.arguments import add_output, add_run
from deadtokens.errors import UserError
from deadtokens.freezing.forces import (
    FORCES,
    TREND,
    WELL_ABOVE,
    available,
    fastest_decay,
    forces_of,
    gradient_decay,
)
from deadtokens.freezing.steps import values_of
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.run import layout
from deadtokens.run.hyperparameters import Hyperparameters
from deadtokens.run.rule import Rule
from deadtokens.statistics.entropy import entropy
from deadtokens.trajectory.optional import ALL_DEAD_ROWS, ALL_ROWS, is_recorded, left_out
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.pieces import Piece, read_pieces
from deadtokens.trajectory.populations import dead_of
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.refusal import NOTHING, or_why_not, without_variables
from deadtokens.trajectory.rule import rule_of_run
from deadtokens.trajectory.segments import Segments, check_every_update

TENSORS = ("W", "grad", "exp_avg", "exp_avg_sq")
SAMPLE = 256  # dead tokens, at least, if there are so many
UPDATES_AT_A_TIME = 16
WINDOW_BYTES = 2**27  # of the sampled tokens' bits, all tensors together
_OF_ALL = "over all components of the dead tokens of the attribute `sample`"
_ABOVE = f"sqrt(v') above {WELL_ABOVE:g} eps"
# Name: axes, long name, unit.
VARIABLES = {
    f"{name}_median": (("update",), f"median {_OF_ALL} of {long_name}", units)
    for name, (_, long_name, units) in FORCES.items()
} | {
    "displacement_mean": (("update",), f"mean {_OF_ALL} of |W[t] - W[t-1]|", "weight"),
    "above_eps_fraction": (("update",), f"fraction {_OF_ALL} with {_ABOVE}", "1"),
    "gradient_decay": (
        ("update",),
        f"minus the slope of the least-squares line through ln gradient_median of the last "
        f"{TREND} updates, {TREND} points, over the update; NaN: not so many yet, or a zero among "
        "them",
        "per update",
    ),
    "fastest_decay": (
        ("update",),
        f"rate at which sqrt(v') would have fallen from the first to the last of the last {TREND} "
        f"updates, {TREND - 1} times, in exact arithmetic without any gradient: it can fall no "
        "faster",
        "per update",
    ),
    "probability_median": (
        ("update",),
        "median over dead tokens of the batch's mean predicted probability",
        "1",
    ),
    "dead_probability_sum": (
        ("update",),
        "sum over dead tokens of the batch's mean predicted probability: that of any of them",
        "1",
    ),
    "entropy_of_mean": (
        ("update",),
        "entropy of the batch's mean prediction: at least the mean entropy of its predictions",
        "nat",
    ),
    "entropy": (("update",), layout.PER_UPDATE["entropy"].long_name, "nat"),
    "eps": ((), "eps of Adam; NaN of another optimizer", "nat"),
}
TEMPERATURE = "temperature of the predictions: the record does not have their logits"
OF_PREDICTIONS = {ALL_ROWS: "entropy_of_mean", ALL_DEAD_ROWS: "dead_probability_sum"}  # sums
PROBED = "; gradients.nc has it at the probed updates"
NO_OPTIMIZER = Hyperparameters(0.0, 0.0, 0.0, 0.0)
Medians = dict[str, np.ndarray]  # by name, each of shape (updates,)


def sampled_tokens(dead: np.ndarray, rows: int) -> np.ndarray:
    """Return a sample of the dead tokens, bool of shape (tokens,).

    Of the stretches of `rows` tokens that hold dead ones it has every k-th, with all dead tokens in
    it, and k is such that about SAMPLE tokens come together. All are taken if there are fewer.

    Parameters
    ----------
    dead : ndarray of bool, shape (tokens,)
    rows : int
        Tokens that the record stores together: less than all is no faster to read.
    """
    stretch = np.arange(len(dead)) // rows
    return dead & np.isin(stretch, np.unique(stretch[dead])[:: _every(dead)])


def _every(dead: np.ndarray) -> int:
    """Return k of `sampled_tokens`."""
    return max(1, np.count_nonzero(dead) // SAMPLE)


def sample_in_words(dead: np.ndarray, rows: int) -> str:
    """Return which tokens `sampled_tokens` takes of these."""
    every = _every(dead)
    if every == 1:
        return "all dead tokens"
    return (
        f"all dead tokens in one of {every} of the stretches of {rows} tokens, which the record "
        "stores together, that hold dead ones, from the first on"
    )


def measure_forces(
    pieces: Iterable[Piece],
    chosen: np.ndarray,
    lr: np.ndarray,
    hyper: Hyperparameters,
    before: int = 0,
) -> Medians:
    """Return each update's medians over all components of the chosen tokens.

    Parameters
    ----------
    pieces : iterable of Piece
        Of all recorded tensors, at least those that hold chosen tokens, as `read_pieces` yields
        them.
    chosen : ndarray of bool, shape (tokens,)
    lr : ndarray of float, shape (updates,)
        Of the whole run.
    hyper : Hyperparameters
    before : int
        Updates of W before the run's first.
    """
    parts: list[Medians] = []
    for _, group in groupby(pieces, key=lambda piece: piece.updates[0]):
        updates, bits = _gather(group, chosen)
        for start in range(0, len(updates), UPDATES_AT_A_TIME):
            part = slice(start, start + UPDATES_AT_A_TIME)
            values, rates = _values(bits, part), lr[updates[part] - 1]
            forces = forces_of(values, updates[part] + before, rates, hyper)
            parts.append(_medians(forces, hyper.eps))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _gather(
    pieces: Iterable[Piece], chosen: np.ndarray
) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """Return a window's updates and, of each tensor, the chosen tokens' bits, (values, steps)."""
    updates, rows = np.zeros(0, np.int64), {}
    for piece in pieces:
        updates = piece.updates
        own = chosen[piece.tokens.start : piece.tokens.stop]
        for name, bits in piece.bits.items():
            rows.setdefault(name, []).append(bits[own].reshape(-1, bits.shape[-1]))
    return updates, {name: np.concatenate(parts) for name, parts in rows.items()}


def _values(bits: dict[str, np.ndarray], updates: slice) -> dict[str, np.ndarray]:
    """Return some updates' values, each tensor with the step first and no moment before them."""
    values = {}
    for name, array in bits.items():
        is_state = name in layout.STATE_TENSORS
        first = updates.start + (is_state and name != "W")
        steps = slice(first, updates.stop + is_state)
        values[name] = values_of(np.ascontiguousarray(array[:, steps].T))
    return values


def _medians(forces: Medians, eps: float) -> Medians:
    found = {f"{name}_median": np.median(rows, axis=1) for name, rows in forces.items()}
    found["displacement_mean"] = forces["displacement"].mean(axis=1, dtype=np.float64)
    if "root_second_moment" in forces:
        high = forces["root_second_moment"] > WELL_ABOVE * eps
        found["above_eps_fraction"] = high.mean(axis=1)
    return found


def measure_predictions(run: xr.Dataset, dead: np.ndarray, length: int = 512) -> Medians:
    """Return what the mean predicted probabilities say of each update, some updates at a time.

    Entropy is concave: that of the mean prediction is no less than the mean entropy of the
    predictions themselves, ``entropy``. Nothing is known of them where they were not recorded, and
    what sums over rows of which some were not is NaN.
    """
    parts = []
    if "probability" not in run:
        return {}
    for start in range(0, max(1, run.sizes["update"]), length):
        probability = run["probability"].isel(update=slice(start, start + length)).values
        of_dead = probability[:, dead]
        median = np.median(of_dead, axis=1) if dead.any() else np.full(len(of_dead), np.nan)
        parts.append(
            {
                "probability_median": median,
                "dead_probability_sum": of_dead.sum(axis=1, dtype=np.float64),
                "entropy_of_mean": entropy(probability, axis=1),
            }
        )
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for rows, name in OF_PREDICTIONS.items():
        if not is_recorded(run, rows):
            found[name] = np.full_like(found[name], np.nan)
    return found | {name: run[name].values for name in ("entropy",) if name in run}


def measure_sharpening(segments: Segments) -> xr.Dataset:
    """Return forces and motion of a run's dead tokens over its updates.

    What the record does not allow is left out, or NaN, and named in the attribute ``left_out``.

    Parameters
    ----------
    segments : path or sequence of paths
        The folder of a recording, or its segments in order.

    Returns
    -------
    Dataset
        Over ``update``, medians over a sample of the dead tokens: ``gradient_median``,
        ``root_second_moment_median``, ``gradient_decay`` against ``fastest_decay`` and more; with
        recorded predictions ``probability_median`` and ``entropy``. The table is `VARIABLES` and
        `deadtokens.freezing.forces`.

    Raises
    ------
    UserError
        If the segments cannot be read, or which tokens are dead is not known.

    Examples
    --------
    >>> sharpening = measure_sharpening("recorded/mine")
    >>> sharpening.gradient_median, sharpening.attrs["left_out"]
    """
    run = open_run(segments)
    check_every_update(run, "the analysis of forces")
    rule, unknown = _rule_of(run)
    dead, updates = dead_of(run), run["update"].values
    names = [name for name in TENSORS if name in run and (rule or name in ("W", "grad"))]
    hyper, before = (rule.fixed, rule.before) if rule else (NO_OPTIMIZER, 0)
    values = measure_predictions(run, dead)
    rows = run["W"].chunksizes["token"][0]
    chosen = sampled_tokens(dead, rows)
    if dead.any() and len(updates):
        row = run.sizes["component"] * layout.STEPS_PER_CHUNK * 4 * len(names)
        chunks = int(np.clip(WINDOW_BYTES // (row * np.count_nonzero(chosen)), 1, 8))
        pieces = read_pieces(segments, names, chosen, chunks)
        with np.errstate(over="ignore", invalid="ignore"):  # the end of a diverged run
            values |= measure_forces(pieces, chosen, run["lr"].values, hyper, before)
    if "gradient_median" in values:
        values["gradient_decay"] = gradient_decay(values["gradient_median"])
        values["fastest_decay"] = fastest_decay(updates + before, hyper.beta2)
    missing = unknown or _missing_forces(names, rule)
    prediction = left_out(run, probability="predictions", **OF_PREDICTIONS)
    temperature = TEMPERATURE if "recorded" in run.attrs else TEMPERATURE + PROBED
    about = {
        "dead_tokens": np.count_nonzero(dead),
        "sampled_tokens": np.count_nonzero(chosen),
        "sample": sample_in_words(dead, rows),
        "left_out": "; ".join(filter(None, (temperature, missing, prediction))),
    }
    known = {"update": updates, **values, "eps": hyper.eps or np.nan}
    variables = {name: VARIABLES[name] for name in known if name != "update"}
    return label(known, variables).assign_attrs(run_attributes(run) | about)


def _rule_of(run: xr.Dataset) -> tuple[Rule | None, str]:
    """Return how W was moved, None if that is not known or changes, and why it is not."""
    try:
        rule = rule_of_run(run)
        _ = rule.fixed
    except UserError as error:
        return None, f"forces of the optimizer: {error}"
    return rule, ""


def _missing_forces(names: Sequence[str], rule: Rule) -> str:
    """Return which forces cannot be had, and why, '' if all can."""
    missing = [name for name in FORCES if name not in available(names, rule.fixed)]
    tensors = [name for name in TENSORS if name in rule.tensors and name not in names]
    why = f"{', '.join(tensors)} not recorded" if tensors else "sgd has no second moment"
    return f"{', '.join(missing)}: {why}" if missing else ""


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``sharpening``."""
    sharpening = or_why_not(measure_sharpening, options.segments, without_variables)
    write(sharpening, options.output)
    if NOTHING in sharpening.attrs:
        return
    logging.getLogger(__name__).info(
        f"sharpening {sharpening.attrs['run']}: {len(sharpening.data_vars)} quantities over "
        f"{sharpening.sizes['update']:,} updates"
    )
