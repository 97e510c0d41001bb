"""The anatomy of the gradient of W: from probabilities to the first update, checked at each step.

Over the whole run, what the recorded gradients and second moments say; at the first update, what
Adam made of them; at chosen updates, the whole model once more with the two ways to W apart. Where
both ways are recorded, their sizes and shares at every update.
"""

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from deadtokens.arguments import add_output, add_run, add_stream
from deadtokens.errors import UserError
from deadtokens.gradients.firststep import measure_first_step, summarise_first_step
from deadtokens.gradients.pathways import measure_pathways
from deadtokens.gradients.probe import probe_run
from deadtokens.gradients.recorded import (
    QUANTILES,
    label_run,
    measure_gradients,
    measure_second_moments,
)
from deadtokens.gradients.states import moments_of_run
from deadtokens.gradients.summaries import REGIMES
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.run.device import describe_device, keep_freed_memory, make_deterministic
from deadtokens.run.spec import read_spec
from deadtokens.run.tensors import of_update
from deadtokens.text.read import read_stream
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.populations import MEMBERS, describe_members, members_of
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments

TOKENS = MEMBERS | {"frequency": (("token",), "unigram frequency in the training text", "1")}
COORDINATES = {
    "quantile": (
        "quantile over the dead tokens' finite values, linear between two neighbours",
        "1",
    ),
    "regime": (),
}


def measure_anatomy(segments: Segments, checkpoints: Sequence[Path], stream: Path) -> xr.Dataset:
    """Return everything about the gradients of a run.

    Parameters
    ----------
    segments : path or sequence of paths
    checkpoints : sequence of Path
        Those behind the segments, in order; may be empty.
    stream : Path
        The tokens that the run was trained on.

    Raises
    ------
    UserError
        If a tensor was not recorded, or the stream is another one.
    """
    run = open_run(segments)
    spec = read_spec(run.attrs["spec"])
    missing = [name for name in of_update(spec) if name not in run]
    if missing:
        raise UserError(
            f"run {run.attrs['run']}: {', '.join(missing)} not recorded; its gradients need all of "
            f"{', '.join(of_update(spec))}"
        )
    tokens, about_stream = read_stream(stream)
    if about_stream["stream_sha256"] != run.attrs["stream_sha256"]:
        raise UserError(f"{stream}: is not the text that run {run.attrs['run']} was trained on")
    make_deterministic(spec.threads)
    keep_freed_memory()
    members, updates = members_of(run), run.sizes["update"]
    frequency = run["count"].values / run["count"].values.sum()
    moments = moments_of_run(spec, tokens, len(frequency), updates, checkpoints)
    parts = [
        label_run(
            measure_gradients(segments, run, spec, members),
            measure_second_moments(segments, spec, members, frequency),
            len(frequency),
        ),
        _describe_tokens(frequency, members),
        measure_pathways(segments, run, spec, members),
        probe_run(segments, spec, tokens, members, moments if updates else iter(()), run),
    ]
    if updates:
        parts.append(measure_first_step(segments, spec, members))
    else:
        nothing = np.zeros((0, spec.width))
        parts.append(summarise_first_step(nothing, nothing, nothing, members[:, :0], spec))
    probed_on = {"probed_on": describe_device(torch.device("cpu"))}
    merged = xr.merge(parts, compat="no_conflicts", join="exact", combine_attrs="override")
    return merged.assign_attrs(run_attributes(run) | probed_on)


def _describe_tokens(frequency: np.ndarray, members: np.ndarray) -> xr.Dataset:
    values = {
        **describe_members(members),
        "frequency": frequency,
        "token": np.arange(len(frequency)),
        "quantile": list(QUANTILES),
        "regime": list(REGIMES),
    }
    return label(values, TOKENS, COORDINATES)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    parser.add_argument(
        "--checkpoints", type=Path, nargs="*", default=[], help="those behind the segments"
    )
    add_stream(parser)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``gradients``."""
    gradients = measure_anatomy(options.segments, options.checkpoints, options.stream)
    write(gradients, options.output)
    held = (gradients.deviation <= gradients.tolerance).all("check")
    logging.getLogger(__name__).info(
        f"gradients {gradients.attrs['run']}: every formula holds at {int(held.sum())} of "
        f"{held.size} probed updates"
    )
