"""What recording costs, tensor by tensor: our segments against one step at a time.

Each tensor that a segment gives is written once more by both, alone. Bytes are those of the
tensor's compressed chunks and the same on every machine; times are what this machine gave, with
the page cache taking the bytes.
"""

import logging
import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.arguments import add_first_segment, add_output
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.run import layout
from deadtokens.run.bits import bits_of, unsigned
from deadtokens.run.device import keep_freed_memory, make_deterministic
from deadtokens.run.machine import processor_name
from deadtokens.run.outcome import Outcome
from deadtokens.trajectory.contents import tensor_format
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.parts import load_tensor
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.writer import write_segment

UPDATES = 126  # two chunks along the step axis of a default segment
PACKAGES = ("torch", "numpy", "h5py", "h5netcdf", "isal")
_AXES = ("writer", "tensor")
# Name: axes, long name, unit.
QUANTITIES = {
    "wall_time": (_AXES, "wall time of writing, per update", "s"),
    "cpu_time": (_AXES, "CPU time of writing, all threads, per update", "s"),
    "stored_bytes": (_AXES, "compressed chunks on disk, per update", "byte"),
}
VARIABLES = QUANTITIES | {
    "raw_bytes": (("tensor",), "recorded bits, not compressed, per update", "byte"),
}
COORDINATES = {"writer": (), "tensor": ()}


class StepwiseFile:
    """The baseline, one step at a time: HDF5 compresses each step while the caller waits.

    A dataset (steps, tokens, components) a tensor, in chunks of one step, gzip level 1 without
    shuffle; bfloat16 as its bit patterns in uint16, float32 as it is.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    """

    def __init__(self, file: h5py.File):
        self.file = file

    def put(self, name: str, step: int, steps: int, tensor: Tensor) -> None:
        """Write step number `step`, from 0, of the `steps` that there will be of a tensor."""
        values = _storable(tensor)
        if name not in self.file:
            self.file.create_dataset(
                name,
                (steps, *values.shape),
                values.dtype,
                chunks=(1, *values.shape),
                compression="gzip",
                compression_opts=1,
            )
        self.file[name][step] = values


def _storable(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return unsigned(bits_of(tensor))
    return tensor.numpy()


def rewrite_stepwise(path: Path, name: str, steps: Tensor) -> None:
    """Write a tensor, (steps, tokens, components), one step at a time."""
    with h5py.File(path, "w") as file:
        baseline = StepwiseFile(file)
        for step, tensor in enumerate(steps):
            baseline.put(name, step, len(steps), tensor)


def rewrite_segment(path: Path, name: str, steps: Tensor) -> None:
    """Write a tensor, (steps, tokens, components), as a segment that holds nothing else of size."""
    _, tokens, width = steps.shape
    is_state = name in layout.STATE_TENSORS
    census = xr.Dataset(coords={"token": np.arange(tokens)})
    contents = layout.Contents([name])
    with write_segment(path, int(is_state), len(steps), width, contents, census, {}) as writer:
        for tensor in steps:
            if is_state:
                writer.state({name: tensor})
            else:
                writer.update(vars(Outcome.of_gradient(tensor)))


WRITERS = {"segment": rewrite_segment, "stepwise": rewrite_stepwise}


def read_steps(segment: Path, name: str, updates: int) -> Tensor:
    """Return what a tensor was in or after the segment's first updates, recorded or replayed.

    Returns
    -------
    Tensor of shape (updates, tokens, components)
        In the recorded format, bit for bit.
    """
    begin = int(name in layout.STATE_TENSORS)  # state 0 comes before update 1
    values = load_tensor([segment], name, steps=slice(begin, begin + updates))
    with h5py.File(segment, "r") as file:
        return narrow(values, tensor_format(file, name))


def narrow(values: np.ndarray, recorded_dtype: str) -> Tensor:
    """Return float32 values, (tokens, components, steps), as they were recorded, steps first."""
    steps = torch.from_numpy(values).permute(2, 0, 1).contiguous()
    if recorded_dtype == "float32":
        return steps
    return (steps.view(torch.int32) >> 16).to(torch.int16).view(torch.bfloat16)


def measure_cost(writer: str, name: str, steps: Tensor) -> tuple[float, float, int]:
    """Write a tensor by one of `WRITERS` into a temporary folder.

    Returns
    -------
    wall, cpu : float
        Seconds from opening to closing the file.
    stored : int
        Bytes of the tensor's chunks.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "tensor.nc")
        wall, cpu = time.perf_counter(), time.process_time()
        WRITERS[writer](path, name, steps)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        with h5py.File(path, "r") as file:
            return wall, cpu, file[name].id.get_storage_size()


def measure_storage(segment: Path, updates: int = UPDATES) -> xr.Dataset:
    """Return what it costs to record each tensor of a segment.

    Parameters
    ----------
    segment : Path
        The first segment of a run.
    updates : int
        How many of its updates are written; all if it has fewer.

    Returns
    -------
    Dataset
        Times and bytes per update over ``writer`` and ``tensor``, raw bytes over ``tensor``; NaN
        if the run diverged at its first update.
    """
    run = open_run([segment])
    names = [name for name in layout.TENSORS if name in run]
    updates = min(updates, run.sizes["update"])
    costs = np.full((len(QUANTITIES), len(WRITERS), len(names)), np.nan)
    raw = np.full(len(names), np.nan)
    for place, name in enumerate(names if updates else []):
        steps = read_steps(segment, name, updates)
        raw[place] = steps[0].nbytes
        for row, writer in enumerate(WRITERS):
            costs[:, row, place] = np.array(measure_cost(writer, name, steps)) / updates
    attributes = run_attributes(run) | describe_machine() | {"updates": updates}
    return label_costs(costs, raw, names).assign_attrs(attributes)


def label_costs(costs: np.ndarray, raw: np.ndarray, names: Sequence[str]) -> xr.Dataset:
    """Label `costs` (quantities, writers, tensors) and `raw` (tensors)."""
    values = dict(zip(QUANTITIES, costs, strict=True)) | {"raw_bytes": raw}
    return label(values | {"writer": list(WRITERS), "tensor": list(names)}, VARIABLES, COORDINATES)


def describe_machine() -> dict[str, Any]:
    """Return where and with what a measurement is made, as attributes."""
    return {
        "measured_on": processor_name(),
        "measured_cores": os.cpu_count(),
        "measured_with": ", ".join(f"{package} {version(package)}" for package in PACKAGES),
    }


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_first_segment(parser, UPDATES)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``storage``."""
    make_deterministic(threads=1)  # as in a training
    keep_freed_memory()
    storage = measure_storage(options.segment, options.updates)
    write(storage, options.output)
    logging.getLogger(__name__).info(_summary(storage))


def _summary(storage: xr.Dataset) -> str:
    sums = storage[["wall_time", "stored_bytes"]].sum("tensor")
    parts = [
        f"{1000 * float(cost.wall_time):.1f} ms and {float(cost.stored_bytes) / 1e6:.2f} MB"
        for cost in (sums.sel(writer=writer) for writer in WRITERS)
    ]
    return (
        f"storage {storage.attrs['run']}: an update takes {parts[0]}, one step at a time {parts[1]}"
    )
