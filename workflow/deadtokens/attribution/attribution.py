"""What moved each token: gradient, momentum, decay or rounding, and how old the gradients were.

Every recorded displacement W[t] - W[t - 1] is a sum of four terms (`attribution.terms`); rounding,
which is what the other three leave, is held against a bound of its own (`attribution.bound`).
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
import xarray as xr

from deadtokens.attribution.accumulator import Accumulator
from deadtokens.attribution.summary import summarise
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.run import layout
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments
from deadtokens.trajectory.tiles import read_tiles


def attribute_motion(segments: Segments) -> xr.Dataset:
    """Return what moved the tokens of a run, update by update; see `summary.summarise`.

    Raises
    ------
    UserError
        If one of the four tensors was not recorded, or a rounding term exceeds its bound.
    """
    run = open_run(segments)
    missing = [name for name in layout.TENSORS if name not in run]
    if missing:
        raise UserError(
            f"run {run.attrs['run']}: without recorded {', '.join(missing)} its motion cannot "
            "be attributed; record all four tensors"
        )
    accumulator = Accumulator(run)
    for tile in read_tiles(segments):
        accumulator.add(tile)
        del tile  # before the one after the next is read
    return summarise(accumulator).assign_attrs(run_attributes(run) | checks(accumulator))


def checks(accumulator: Accumulator) -> dict[str, float | int]:
    """Return the attributes that say how the terms were checked."""
    over_tokens, displacements = accumulator.over_tokens, accumulator.net_displacement.size
    not_finite = int(over_tokens.not_finite.sum())
    attributes = {
        "values_checked": len(accumulator.closure) * displacements - not_finite,
        "values_not_finite": not_finite,
        "worst_closure": float(accumulator.closure.max(initial=0.0)),
        "worst_bound_ratio": float(over_tokens.bound_ratio.max(initial=0.0)),
    }
    if attributes["worst_bound_ratio"]:
        place = int(over_tokens.bound_ratio.argmax())
        token, component = accumulator.place_of(place)
        names = ("update", "token", "component")
        largest = zip(names, (place + 1, token, component), strict=True)
        attributes |= {f"worst_bound_{name}": value for name, value in largest}
    return attributes


def main(arguments: Sequence[str]) -> None:
    """Run the command ``attribution``."""
    parser = argparse.ArgumentParser(prog="deadtokens attribution", description=__doc__)
    parser.add_argument("segments", type=Path, nargs="+", help="segments of the run, in order")
    parser.add_argument("--output", type=Path, required=True, help="NetCDF file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the other cores inflate what comes next
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
