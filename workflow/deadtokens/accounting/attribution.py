"""What moved each token: gradient, momentum, decay or rounding, and how old the gradients were.

Every recorded displacement W[t] - W[t - 1] is a sum of four terms (`accounting.terms`); rounding,
which is what the other three leave, is held against a bound of its own (`accounting.bound`).
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from deadtokens.accounting.accounts import Run, account_for
from deadtokens.accounting.ages import GradientHistory
from deadtokens.accounting.ledger import Ledger, parts
from deadtokens.accounting.motion import summarise
from deadtokens.analysis.origin import run_attributes
from deadtokens.analysis.populations import members_of
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.training.precision import REGIMES
from deadtokens.training.spec import read_spec
from deadtokens.trajectory import layout
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments
from deadtokens.trajectory.updates import read_tiles


def attribute_motion(segments: Segments) -> xr.Dataset:
    """Return what moved the tokens of a run, update by update; see `motion.summarise`.

    A segment's memory is 28 bytes a token and update; nothing but the result grows with the run,
    by about 20 kB an update at 64 components.

    Raises
    ------
    UserError
        If one of the four tensors was not recorded, or a rounding term exceeds its bound.
    """
    opened = open_run(segments)
    run = _describe(opened)
    ledger = _keep_ledger(segments, run)
    return summarise(ledger).assign_attrs(run_attributes(opened) | _checks(ledger))


def _describe(opened: xr.Dataset) -> Run:
    missing = [name for name in layout.TENSORS if name not in opened]
    if missing:
        raise UserError(
            f"run {opened.attrs['run']}: without recorded {', '.join(missing)} its motion cannot "
            "be attributed; record all four tensors"
        )
    populations = members_of(opened).astype(np.float64)
    h_mean = opened["h_mean"].values.astype(np.float64)
    return Run(opened.attrs["run"], read_spec(opened.attrs["spec"]), populations, h_mean)


def _keep_ledger(segments: Segments, run: Run) -> Ledger:
    """Return the accounts of the whole run.

    One thread computes, others inflate the next tile meanwhile: two that compute would spend as
    much on waiting for the interpreter as they gain.
    """
    torch.set_num_threads(1)
    ledger = Ledger(run)
    format = getattr(torch, REGIMES[run.spec.precision].weights)  # the gradients' too
    history = GradientHistory(*ledger.start.shape, run.spec.beta1, format)
    for tile in read_tiles(segments):
        for rows in parts(tile):
            ledger.enter(tile, rows, account_for(tile, rows, run, history))
        del tile  # before the one after the next is read
    ledger.close()
    return ledger


def _checks(ledger: Ledger) -> dict[str, float | int]:
    """Return the attributes that say how the terms were checked."""
    worst = {
        f"worst_bound_{name}": value
        for name, value in vars(ledger.worst).items()
        if name != "value" and value is not None
    }
    updates = sum(len(segment.updates) for segment in ledger.segments)
    return {
        "values_checked": updates * ledger.net_displacement.size - ledger.not_finite,
        "values_not_finite": ledger.not_finite,
        "worst_closure": float(ledger.over_updates("closure").max(initial=0.0)),
        "worst_bound_ratio": ledger.worst.value,
        **worst,
    }


def main(arguments: Sequence[str]) -> None:
    """Run the command ``attribution``."""
    parser = argparse.ArgumentParser(prog="deadtokens attribution", description=__doc__)
    parser.add_argument("segments", type=Path, nargs="+", help="segments of the run, in order")
    parser.add_argument("--output", type=Path, required=True, help="NetCDF file to write")
    options = parser.parse_args(arguments)
    motion = attribute_motion(options.segments)
    write(motion, options.output)
    logging.getLogger(__name__).info(
        f"attribution {motion.attrs['run']}: {motion.attrs['values_checked']:,} displacements are "
        f"the sum of their terms; rounding reaches {motion.attrs['worst_bound_ratio']:.3f} of its "
        "bound"
    )


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
