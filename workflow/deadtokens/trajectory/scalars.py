"""The per-update scalars of a run, in one small file."""

from argparse import ArgumentParser, Namespace

import xarray as xr

from deadtokens.arguments import add_output, add_run
from deadtokens.netcdf import write
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments
from deadtokens.trajectory.spans import describe_spans

SCALARS = ("loss", "lr", "grad_norm", "entropy")


def collect_scalars(segments: Segments) -> xr.Dataset:
    """Return `SCALARS`, as far as they are recorded, of every update of a run, along `update`."""
    run = open_run(segments)
    scalars = run[[name for name in SCALARS if name in run]].compute()
    told = scalars.assign(describe_spans(run))
    return told.drop_attrs(deep=False).assign_attrs(run_attributes(run))


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``scalars``."""
    write(collect_scalars(options.segments), options.output)
