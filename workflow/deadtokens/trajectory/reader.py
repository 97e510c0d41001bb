"""A run as one lazy, labelled dataset."""

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from deadtokens.errors import UserError
from deadtokens.trajectory import layout
from deadtokens.trajectory.segments import Segments, list_segments


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
        component), backed by dask. Attributes are those of the last segment.

    Raises
    ------
    UserError
        If there is no segment, if one is missing, truncated, damaged or not sealed, or if they do
        not follow each other.
    """
    paths = list_segments(segments, check)
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
