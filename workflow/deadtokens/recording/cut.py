"""A segment without its last updates."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import torch
import xarray as xr

from deadtokens.run import layout
from deadtokens.run.bits import as_tensors
from deadtokens.trajectory.source import Source
from deadtokens.trajectory.writer import SegmentWriter, write_segment


def cut_behind(path: Path, state: int, target: Path) -> None:
    """Write a segment anew that ends with a state.

    Parameters
    ----------
    path : Path
        A segment of which all tensors are recorded.
    state : int
        One of its states, not the first.
    target : Path
    """
    with h5py.File(path, "r") as file, xr.open_dataset(path, engine="h5netcdf") as opened:
        tensors = [name for name in layout.TENSORS if name in file]
        known = layout.VARIABLES.keys() - layout.TENSORS.keys()
        per_update = [name for name in layout.VARIABLES if name in known and name in file]
        about = [name for name in opened.variables if opened[name].dims == ("token",)]
        numbers, width = file["state"][...].tolist(), file["component"].shape[0]
        updates = numbers.index(state)
        contents = layout.Contents(tensors, (), per_update)
        census = opened[about].load().drop_attrs(deep=False).drop_encoding()
        attributes = dict(opened.attrs)
        first, last = numbers[0], numbers[0] + updates
        with write_segment(target, first, last, width, contents, census, attributes) as writer:
            _copy(file, tensors, per_update, numbers[1 : updates + 1], writer)


def _copy(
    file: h5py.File,
    tensors: list[str],
    per_update: list[str],
    updates: Sequence[int],
    writer: SegmentWriter,
) -> None:
    source = Source(file)
    tokens, formats = range(source.shape("W")[0]), source.formats(tensors)
    states = [name for name in tensors if name in layout.STATE_TENSORS]
    scalars = {name: torch.from_numpy(np.asarray(file[name][...])) for name in per_update}
    length = source.steps_per_chunk("W")
    with ThreadPoolExecutor() as pool:

        def read(names: list[str], steps: range) -> dict[str, torch.Tensor]:
            read = source.read(tokens, dict.fromkeys(names, steps), pool, steps_first=True)
            return as_tensors(read.finish(), formats)

        writer.state({name: one[0] for name, one in read(states, range(1)).items()})
        for start in range(0, len(updates), length):
            steps = range(start, min(start + length, len(updates)))
            grad = read(["grad"], steps)["grad"]
            after = read(states, range(steps.start + 1, steps.stop + 1))
            for place, step in enumerate(steps):
                said = {name: one[..., step] for name, one in scalars.items()}
                writer.update({"grad": grad[place], **said}, updates[step])
                writer.state({name: one[place] for name, one in after.items()})
