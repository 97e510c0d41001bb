"""A run as one lazy, labelled dataset."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import dask.array as da
import h5py
import numpy as np
import xarray as xr

from deadtokens.errors import UserError
from deadtokens.trajectory import layout
from deadtokens.trajectory.segments import Segments, list_segments
from deadtokens.trajectory.source import Source, tensor_format

PART_BYTES = 48 << 20  # of a replayed part, float32: some are in memory at a time


def open_run(segments: Segments, check: bool = True) -> xr.Dataset:
    """Open a run's segments as one lazy, labelled dataset.

    Parameters
    ----------
    segments : path or sequence of paths
        The trajectory's folder, or its segments in order.
    check : bool
        Read every file through first and compare it with its seal. Without this a copy that has no
        seals, or a file known to be damaged, can be looked at.

    Returns
    -------
    Dataset
        Axes ``state``, ``update``, ``token``, ``component``; tensors in the order (step, token,
        component), backed by dask; what is not recorded, but follows from the gradients, is
        replayed when it is computed. ``sampled`` is the sum over the segments. Attributes are those
        of the last segment.

    Raises
    ------
    UserError
        If there is no segment, if one is missing, truncated, damaged or not sealed, or if they do
        not follow each other; when computed, if a replay does not give the bits that training had.
    """
    paths = list_segments(segments, check)
    datasets = [_open_segment(path) for path in paths]
    _check_sequence(paths, datasets)
    states = [
        dataset.isel(state=slice(1 if index else 0, None)) for index, dataset in enumerate(datasets)
    ]
    names = set(datasets[0].data_vars)
    parts = [
        _concatenate(states, "state", names & layout.STATE_TENSORS.keys()),
        _concatenate(
            datasets, "update", (names & layout.VARIABLES.keys()) - layout.STATE_TENSORS.keys()
        ),
        datasets[0][[name for name in datasets[0].data_vars if name not in layout.VARIABLES]],
    ]
    run = xr.merge(parts, compat="no_conflicts", join="exact", combine_attrs="override")
    order = [axis for axis in ("state", "update", "token", "component") if axis in run.dims]
    return run.transpose(*order).assign(_totals(paths, run)).assign_attrs(datasets[-1].attrs)


def _open_segment(path: Path) -> xr.Dataset:
    """Open a segment with all the tensors that it gives."""
    dataset = xr.open_dataset(path, engine="h5netcdf", chunks={})
    names = layout.replayed(dataset)
    if not names:
        return dataset
    with h5py.File(path, "r") as file:
        formats = {name: tensor_format(file, name) for name in names}
        rows = file["grad"].chunks[0]
    arrays = _replayed_arrays(path, names, dataset, rows)
    dataset = dataset.drop_vars([*layout.FOR_REPLAY, "row_group"], errors="ignore")
    for name, array in arrays.items():
        variable = layout.STATE_TENSORS[name]
        about = {"long_name": variable.long_name, "units": variable.units}
        dataset[name] = variable.dims, array, about | {"recorded_dtype": formats[name]}
    return dataset


def _replayed_arrays(
    path: Path, names: Sequence[str], dataset: xr.Dataset, rows: int
) -> dict[str, da.Array]:
    """Return tensors as lazy arrays, (token, component, state): one replay gives a part of all."""
    tokens, components, states = (dataset.sizes[axis] for axis in ("token", "component", "state"))
    size = rows * max(1, PART_BYTES // (4 * len(names) * components * max(1, states) * rows))
    parts: dict[str, list[da.Array]] = {name: [] for name in names}
    for start in range(0, tokens, size):
        part = range(start, min(start + size, tokens))
        values = dask.delayed(_replay_part)(str(path), names, part)
        for name in names:
            shape = (len(part), components, states)
            parts[name].append(da.from_delayed(values[name], shape, np.float32))
    return {name: da.concatenate(arrays) for name, arrays in parts.items()}


def _replay_part(path: str, names: Sequence[str], tokens: range) -> dict[str, np.ndarray]:
    """Return rows of tensors over a segment, float32 of shape (tokens, components, states)."""
    with h5py.File(path, "r") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        source = Source(file)
        _, components, states = source.shape(names[0])
        outs = {name: np.empty((len(tokens), components, states), np.float32) for name in names}
        for future in source.begin(outs, tokens, range(states), pool) if states else []:
            future.result()
    return outs


def _check_sequence(paths: Sequence[Path], datasets: Sequence[xr.Dataset]) -> None:
    for path, before, dataset in zip(paths[1:], datasets, datasets[1:], strict=False):
        if dataset.attrs["run"] != before.attrs["run"]:
            raise UserError(f"{path}: belongs to another run than the segment before it")
        if dataset.sizes["state"] and dataset.state[0] != before.state[-1]:
            raise UserError(f"{path}: does not begin where the segment before it ends")


def _totals(paths: Sequence[Path], first: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the sums over the segments of what each counts of its own updates."""
    totals = {}
    for name in layout.PER_SEGMENT.keys() & first.keys():
        counts = np.zeros(first[name].shape, np.int64)
        for path in paths:
            with h5py.File(path, "r") as file:
                counts += file[name][...]
        totals[name] = first[name].copy(data=counts)
    return totals


def _concatenate(datasets: Sequence[xr.Dataset], axis: str, names: set[str]) -> xr.Dataset:
    selected = [dataset[sorted(names)] for dataset in datasets if dataset.sizes[axis]]
    return xr.concat(
        selected or [datasets[0][sorted(names)]],
        axis,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
