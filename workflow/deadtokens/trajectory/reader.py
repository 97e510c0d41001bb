"""A run as one lazy, labelled dataset."""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import numpy as np
import xarray as xr

from deadtokens.run import layout
from deadtokens.trajectory.contents import tensor_format, tensor_shape
from deadtokens.trajectory.lazy import Stretch, recorded_array, replayed_arrays
from deadtokens.trajectory.populations import with_dead
from deadtokens.trajectory.segments import (
    MADE,
    Header,
    Segments,
    check_sequence,
    list_segments,
    read_header,
)


def open_run(segments: Segments, check: bool = True) -> xr.Dataset:
    """Open a run's segments as one lazy, labelled dataset.

    Parameters
    ----------
    segments : path or sequence of paths
        The trajectory's folder, or its segments in order.
    check : bool
        Read every file through first and compare it with its seal and with the names of its run and
        its folder. Without this a copy that has no seals, a file known to be damaged, or a run
        without its first segments can be looked at.

    Returns
    -------
    Dataset
        Axes ``state``, ``update``, ``token``, ``component``; tensors in the order (step, token,
        component), and what is of each update, backed by dask; what is not recorded, but follows
        from the gradients, is replayed when it is computed; what is of the tokens alone is in
        memory; ``sampled`` is the sum over the segments, and ``dead`` is there wherever it is known
        which tokens are, be it by what was counted alone. Attributes are those of the last segment;
        where segments were made on different machines, ``device`` and ``machine`` name each with
        its updates, and where they say different things of their optimizer, ``optimizers`` does.

    Raises
    ------
    UserError
        If there is no segment, if one is missing, truncated, damaged or not sealed, or if they do
        not follow each other; when computed, if a replay does not give the bits that training had.

    Examples
    --------
    >>> run = open_run("recorded/mine")
    >>> moved = (run.W.diff("state") != 0).any("component").compute()  # (state, token)
    """
    paths = [path.absolute() for path in list_segments(segments, check)]
    check_sequence(paths)
    headers = [read_header(path) for path in paths]
    first = xr.load_dataset(
        paths[0], engine="h5netcdf", drop_variables=[*layout.VARIABLES, *layout.FOR_REPLAY]
    )
    steps = {axis: _stretches(paths, headers, axis) for axis in ("state", "update")}
    with h5py.File(paths[0], "r") as file:
        arrays = _recorded(file, steps) | _replayed(file, steps["state"])
        about = {name: _describe(file, name) for name in arrays}
    run = first.drop_vars([*steps, "row_group"], errors="ignore")
    run = run.assign_coords(_axes(paths, headers, first))
    for name, array in arrays.items():
        run[name] = layout.VARIABLES[name].dims, array, about[name]
    for name in run.keys() & layout.PER_SEGMENT.keys():
        run[name] = run[name].copy(data=_total(paths, name))
    run = with_dead(run)
    order = [axis for axis in ("state", "update", "token", "component") if axis in run.dims]
    about = _attributes(paths, first) | _made(headers) | _moved(paths, headers)
    return run.transpose(*order).assign_attrs(about)


def _attributes(paths: Sequence[Path], first: xr.Dataset) -> dict[str, Any]:
    """Return the last segment's; opening takes longer than all else here."""
    if len(paths) == 1:
        return first.attrs
    with xr.open_dataset(paths[-1], engine="h5netcdf") as last:
        return last.attrs


def _stretches(paths: Sequence[Path], headers: Sequence[Header], axis: str) -> list[Stretch]:
    """Return the steps of each segment that has some, each step of the run once."""
    stretches = []
    for place, (path, header) in enumerate(zip(paths, headers, strict=True)):
        # A segment begins with the state before it.
        own = range(header.updates) if axis == "update" else range(int(place > 0), header.states)
        if own:
            stretches.append(Stretch(str(path), path.stat().st_mtime_ns, own))
    return stretches


def _axes(
    paths: Sequence[Path], headers: Sequence[Header], first: xr.Dataset
) -> dict[str, xr.Variable]:
    """Return the run's axes of steps; a segment's first state is the last of the one before it."""
    update = np.concatenate([_updates(*one) for one in zip(paths, headers, strict=True)])
    start = [headers[0].first] if headers[0].states else []
    steps = {"state": np.concatenate([np.array(start, np.int64), update]), "update": update}
    return {axis: xr.Variable(axis, steps[axis], first[axis].attrs) for axis in steps}


def _updates(path: Path, header: Header) -> np.ndarray:
    """Return the numbers of a segment's updates, int64 (updates,)."""
    if header.every_update:
        start = header.first or 0
        return start + 1 + np.arange(header.updates, dtype=np.int64)
    with h5py.File(path, "r") as file:
        return file["update"][...]


def _recorded(file: h5py.File, steps: dict[str, list[Stretch]]) -> dict[str, da.Array]:
    """Return what the segments hold, by the first one."""
    return {
        name: recorded_array(
            name,
            file[name].shape,
            file[name].chunks,
            file[name].dtype,
            steps[layout.VARIABLES[name].dims[-1]],
        )
        for name in layout.VARIABLES
        if name in file
    }


def _replayed(file: h5py.File, states: list[Stretch]) -> dict[str, da.Array]:
    """Return what a replay gives back."""
    names = layout.replayed(file)
    if not names:
        return {}
    return replayed_arrays(names, tensor_shape(file, names[0]), file["grad"].chunks[0], states)


def _total(paths: Sequence[Path], name: str) -> np.ndarray:
    """Return the sum over the segments of what each has of its own updates."""
    total = 0
    for path in paths:
        with h5py.File(path, "r") as file:
            total = total + file[name][...]
    return total


def _describe(file: h5py.File, name: str) -> dict[str, str]:
    """Return a variable's attributes, as the files say them."""
    about = layout.VARIABLES[name].attributes
    if name in layout.TENSORS | layout.PATHWAYS:
        about["recorded_dtype"] = tensor_format(file, name)
    return about


def _made(headers: Sequence[Header]) -> dict[str, str]:
    """Return how a run was made, as far as its segments were made differently."""
    made = {name: _since(headers, place) for place, name in enumerate(MADE)}
    return {
        name: "; ".join(f"{value} (from update {first:,})" for value, first in values)
        for name, values in made.items()
        if len(values) > 1
    }


def _moved(paths: Sequence[Path], headers: Sequence[Header]) -> dict[str, str]:
    """Return what a recording's segments say of their optimizer, if that is not the same of all."""
    each = groupby(zip(paths, headers, strict=True), key=lambda one: one[1].recorded)
    firsts = [next(segments) for _, segments in each]
    if len(firsts) == 1:
        return {}
    stages = [
        {"update": (header.first or 0) + 1, "segment": path.name, "recorded": header.recorded}
        for path, header in firsts
    ]
    return {"optimizers": json.dumps(stages)}


def _since(headers: Sequence[Header], place: int) -> list[tuple[str, int]]:
    """Return the values that one says of how segments were made, and the first update of each."""
    each = groupby(headers, key=lambda header: header.made[place])
    return [(value, (next(segments).first or 0) + 1) for value, segments in each]
