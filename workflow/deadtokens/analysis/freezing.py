"""When tokens stand still: bitwise, on the recorded values of W.

A token is *frozen at t* if update t left every bit of its row unchanged.
"""

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.analysis.origin import run_attributes
from deadtokens.netcdf import write
from deadtokens.trajectory.blocks import displacements
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Motion:
    """How the populations moved in every update, and when each token last did.

    Attributes
    ----------
    update : ndarray of int64, shape (updates,)
    frozen_fraction : ndarray of float, shape (updates, 2)
        Of the dead and of the live tokens; NaN for an empty population.
    displacement_quantile : ndarray of float, shape (updates, 2, quantiles)
        Of the L2 norms of ``W[t] - W[t - 1]``.
    last_change : ndarray of int64, shape (tokens,)
    """

    update: np.ndarray
    frozen_fraction: np.ndarray
    displacement_quantile: np.ndarray
    last_change: np.ndarray


def changed_tokens(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return which rows differ in a bit (0.0 and -0.0 differ, a NaN equals itself).

    Parameters
    ----------
    before, after : float32 ndarray, shape (tokens, components, steps)

    Returns
    -------
    ndarray of bool, shape (tokens, steps)
    """
    return (bits_of(before) != bits_of(after)).any(axis=1)


def bits_of(values: np.ndarray) -> np.ndarray:
    """Return the bit patterns of float32 values as uint32, in the same shape."""
    return np.ascontiguousarray(values).view(np.uint32)


def displacement_norms(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the L2 norm of each row's displacement, float32 of shape (tokens, steps).

    Parameters
    ----------
    before, after : float32 ndarray, shape (tokens, components, steps)
    """
    difference = after - before
    return np.sqrt(np.einsum("tcs,tcs->ts", difference, difference))


def measure_motion(
    blocks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], dead: np.ndarray
) -> Motion:
    """Measure the motion over blocks of (updates, before, after), as `displacements` yields them.

    Parameters
    ----------
    blocks : iterable of (int64 (steps,), float32 (tokens, components, steps), the same)
    dead : ndarray of bool, shape (tokens,)
    """
    populations = (dead, ~dead)
    update, frozen = [np.zeros(0, np.int64)], [np.zeros((0, 2))]
    quantiles = [np.zeros((0, 2, len(QUANTILES)))]
    last_change = np.zeros(len(dead), np.int64)
    for updates, before, after in blocks:
        changed, norms = changed_tokens(before, after), displacement_norms(before, after)
        update.append(updates)
        frozen.append(np.stack([_mean(~changed[chosen]) for chosen in populations], axis=-1))
        quantiles.append(np.stack([_quantiles(norms[chosen]) for chosen in populations], axis=1))
        last_change = np.maximum(last_change, last_changes(updates, changed))
    return Motion(
        np.concatenate(update), np.concatenate(frozen), np.concatenate(quantiles), last_change
    )


def last_changes(update: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Return the last update that changed each token, 0 if none did.

    Parameters
    ----------
    update : ndarray of int64, shape (updates,)
    changed : ndarray of bool, shape (tokens, updates)

    Returns
    -------
    ndarray of int64, shape (tokens,)
    """
    return (changed * update).max(axis=1, initial=0)


def summarise_motion(motion: Motion, dead: np.ndarray) -> xr.Dataset:
    """Return the freezing of the populations dead and live, and of each token, labelled."""
    still_moving = motion.last_change == motion.update.max(initial=0)
    return xr.Dataset(
        {
            "frozen_fraction": (
                ("update", "population"),
                motion.frozen_fraction,
                _about("fraction of the population's tokens bitwise unchanged by the update"),
            ),
            "displacement_quantile": (
                ("update", "population", "quantile"),
                motion.displacement_quantile,
                _about("quantiles over tokens of the L2 norm of W[t] - W[t-1]", "weight"),
            ),
            "last_change": (
                "token",
                motion.last_change,
                _about("last update that changed a bit of the token's row; 0: none"),
            ),
            "censored": (
                "token",
                still_moving,
                _about("the last recorded update moved the token: no freeze was seen"),
            ),
            "dead": ("token", dead, _about("the token never occurs in the training text")),
        },
        coords={
            "update": ("update", motion.update, _about("update t takes state t-1 to state t")),
            "population": ["dead", "live"],
            "quantile": ("quantile", list(QUANTILES), _about("quantile")),
            "token": ("token", np.arange(len(dead)), _about("row of the vocabulary")),
        },
    )


def _about(long_name: str, units: str = "1") -> dict[str, str]:
    return {"long_name": long_name, "units": units}


def _mean(frozen: np.ndarray) -> np.ndarray:
    """Mean over tokens, NaN where a population is empty."""
    return frozen.mean(axis=0) if len(frozen) else np.full(frozen.shape[1], np.nan)


def _quantiles(displacement: np.ndarray) -> np.ndarray:
    """Quantiles over tokens, (updates, quantiles), NaN where a population is empty."""
    if not len(displacement):
        return np.full((displacement.shape[1], len(QUANTILES)), np.nan)
    return np.quantile(displacement, QUANTILES, axis=0).T


def measure_freezing(segments: Segments) -> xr.Dataset:
    """Return the freezing of a run, read block by block."""
    run = open_run(segments)
    dead = run["dead"].values.astype(bool)
    motion = measure_motion(displacements(segments), dead)
    return summarise_motion(motion, dead).assign_attrs(run_attributes(run))


def main(arguments: Sequence[str]) -> None:
    """Run the command ``freezing``."""
    parser = argparse.ArgumentParser(prog="deadtokens freezing", description=__doc__)
    parser.add_argument("segments", type=Path, nargs="+", help="segments of the run, in order")
    parser.add_argument("--output", type=Path, required=True, help="NetCDF file to write")
    options = parser.parse_args(arguments)
    freezing = measure_freezing(options.segments)
    write(freezing, options.output)
    if freezing.sizes["update"]:
        frozen = float(freezing.frozen_fraction.sel(population="dead")[-1])
        logging.getLogger(__name__).info(
            f"freezing {freezing.attrs['run']}: {frozen:.1%} of the dead tokens are frozen at "
            f"update {freezing['update'].values[-1]:,}"
        )


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
