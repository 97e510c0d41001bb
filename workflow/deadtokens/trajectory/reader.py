"""Reading trajectories: a run as one lazy dataset, or its tensors block by block."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import h5netcdf
import numpy as np
import xarray as xr

from deadtokens.errors import UserError
from deadtokens.trajectory import layout

Segments = Path | str | Sequence[Path | str]


def open_run(segments: Segments) -> xr.Dataset:
    """Open a run's segments as one lazy, labelled dataset.

    Parameters
    ----------
    segments : path or sequence of paths
        The trajectory's folder, or its segments in order.

    Returns
    -------
    Dataset
        Axes ``state``, ``update``, ``token``, ``component``; tensors in the order (step, token,
        component), backed by dask. Attributes are those of the last segment.

    Raises
    ------
    UserError
        If there is no segment, or they do not follow each other.
    """
    paths = list_segments(segments)
    datasets = [xr.open_dataset(path, engine="h5netcdf", chunks={}) for path in paths]
    _check_sequence(paths, datasets)
    states = [
        dataset.isel(state=slice(1 if index else 0, None)) for index, dataset in enumerate(datasets)
    ]
    names = set(datasets[0].data_vars)
    parts = [
        _concatenate(states, "state", names & layout.STATE_TENSORS.keys()),
        _concatenate(
            datasets, "update", names & (layout.UPDATE_TENSORS | layout.PER_UPDATE).keys()
        ),
        datasets[0][[name for name in datasets[0].data_vars if name not in layout.VARIABLES]],
    ]
    run = xr.merge(parts, compat="no_conflicts", join="exact", combine_attrs="override")
    order = [axis for axis in ("state", "update", "token", "component") if axis in run.dims]
    return run.transpose(*order).assign_attrs(datasets[-1].attrs)


def list_segments(segments: Segments) -> list[Path]:
    """Return the paths of the segments in a folder, or those given, in order.

    Raises
    ------
    UserError
        If there is none.
    """
    if isinstance(segments, Path | str):
        paths = sorted(Path(segments).glob("segment-*.nc"))
    else:
        paths = [Path(path) for path in segments]
    if not paths:
        raise UserError(f"{segments}: no segment of a trajectory (segment-000.nc, ...) is there")
    return paths


def _check_sequence(paths: Sequence[Path], datasets: Sequence[xr.Dataset]) -> None:
    for path, before, dataset in zip(paths[1:], datasets, datasets[1:], strict=False):
        if dataset.attrs["run"] != before.attrs["run"]:
            raise UserError(f"{path}: belongs to another run than the segment before it")
        if dataset.sizes["state"] and dataset.state[0] != before.state[-1]:
            raise UserError(f"{path}: does not begin where the segment before it ends")


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


@dataclass(frozen=True)
class Block:
    """Consecutive steps of some tensors, in the order of the disk.

    Attributes
    ----------
    steps : ndarray of int64, shape (steps,)
        The states or updates.
    values : dict of str to float32 ndarray, shape (tokens, components, steps)
    """

    steps: np.ndarray
    values: dict[str, np.ndarray]


def read_blocks(segments: Segments, names: Sequence[str]) -> Iterator[Block]:
    """Yield the named tensors, which share their step axis, block by block from the first step.

    A block is one chunk long, so that memory does not grow with the run. No step comes twice: of
    the states that two segments share, the first counts.
    """
    axis = layout.TENSORS[names[0]].dims[-1]
    previous = -1
    for path in list_segments(segments):
        with ExitStack() as stack:
            file = stack.enter_context(h5netcdf.File(path, "r"))
            steps = file[axis][...]
            length = layout.steps_per_chunk(max(1, len(steps)))
            for start in range(0, len(steps), length):
                part = slice(start + int(steps[start] == previous), start + length)
                if len(steps[part]):
                    values = {name: file[name][:, :, part] for name in names}
                    yield Block(steps[part], values)
                    previous = steps[part][-1]


def displacements(segments: Segments) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield W before and after consecutive updates, block by block.

    Yields
    ------
    updates : ndarray of int64, shape (steps,)
    before, after : float32 ndarray, shape (tokens, components, steps)
        ``W[t - 1]`` and ``W[t]`` of the updates t.
    """
    last = None
    for block in read_blocks(segments, ["W"]):
        W = block.values["W"]
        if last is not None:
            W = np.concatenate([last, W], axis=2)
        updates = block.steps[len(block.steps) + 1 - W.shape[2] :]
        if len(updates):
            yield updates, W[:, :, :-1], W[:, :, 1:]
        last = W[:, :, -1:]
