"""The per-update scalars of a run, in one small file."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from deadtokens.netcdf import write
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments

SCALARS = ("loss", "lr", "grad_norm")


def collect_scalars(segments: Segments) -> xr.Dataset:
    """Return loss, learning rate and gradient norm of every update of a run, along `update`."""
    run = open_run(segments)
    scalars = run[list(SCALARS)].compute()
    return scalars.drop_attrs(deep=False).assign_attrs(run_attributes(run))


def main(arguments: Sequence[str]) -> None:
    """Run the command ``scalars``."""
    parser = argparse.ArgumentParser(prog="deadtokens scalars", description=__doc__)
    parser.add_argument("segments", type=Path, nargs="+", help="segments of the run, in order")
    parser.add_argument("--output", type=Path, required=True, help="NetCDF file to write")
    options = parser.parse_args(arguments)
    write(collect_scalars(options.segments), options.output)


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
