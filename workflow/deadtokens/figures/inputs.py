"""Open the small derived files that figures are drawn from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.comparison import settings
from deadtokens.errors import UserError
from deadtokens.netcdf import read_derived

RECORDED = "recorded"  # the attribute of what is derived from a recording
LACKING = "lacking"


def open_dataset(path: Path, variables: Sequence[str], attributes: Sequence[str]) -> xr.Dataset:
    """Read a NetCDF file into memory and check that it holds what a figure needs.

    Raises
    ------
    UserError
        If the file is missing, is no NetCDF file, is not what its seal and its folder say, or lacks
        a variable or an attribute.
    """
    dataset = read_derived(path, "make it again, or give the files to draw from")
    _check(path, "variable", variables, dataset.variables)
    _check(path, "attribute", attributes, dataset.attrs)
    return dataset


def open_of_run(path: Path, variables: Sequence[str], attributes: Sequence[str]) -> xr.Dataset:
    """Read what is derived from a run of a study, or from a recording, as `open_dataset` does.

    A recording has no spec. It may lack variables, as what they are made from was not recorded:
    `LACKING` names them then.
    """
    dataset = open_dataset(path, (), attributes)
    if RECORDED not in dataset.attrs:
        _check(path, "variable", variables, dataset.variables)
        _check(path, "attribute", ("spec",), dataset.attrs)
        return dataset
    lacking = [name for name in variables if name not in dataset.variables]
    return dataset.assign_attrs({LACKING: lacking}) if lacking else dataset


def not_recorded(datasets: Sequence[xr.Dataset]) -> list[str]:
    """Return the names of the recordings of which a figure cannot be drawn."""
    return [str(data.attrs["run"]) for data in datasets if LACKING in data.attrs]


def partly_recorded(datasets: Sequence[xr.Dataset]) -> list[str]:
    """Say of which recordings some rows or some updates alone are recorded."""
    recordings = [data for data in datasets if RECORDED in data.attrs]
    return [f"{data.attrs['run']}: {said}" for data in recordings for said in _parts(data)]


def _parts(data: xr.Dataset) -> Iterator[str]:
    of_all = "token" in data["dead"].dims if "dead" in data else False
    if of_all and data.sizes["token"] < data.attrs["vocabulary_size"]:
        yield f"{data.sizes['token']:,} of {data.attrs['vocabulary_size']:,} rows are recorded"
    if "update" in data.coords and (np.diff(data["update"].values) > 1).any():
        yield "not each update is recorded, a step may be over several"


def as_called(datasets: Sequence[xr.Dataset], called: Mapping[str, str]) -> list[xr.Dataset]:
    """Return datasets whose specs have the vocabulary as the configuration calls it.

    Parameters
    ----------
    datasets : sequence of Dataset
    called : mapping of str to str
        Names by identity.
    """
    if not called:
        return list(datasets)
    return [
        data.assign_attrs(
            spec=json.dumps(settings.as_called(json.loads(data.attrs["spec"]), called))
        )
        if "spec" in data.attrs
        else data
        for data in datasets
    ]


def only(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the dataset of a figure that is drawn from one file.

    Raises
    ------
    UserError
        If there are several, or none.
    """
    if len(datasets) != 1:
        raise UserError(f"{len(datasets)} files are given: this figure is drawn from one")
    return datasets[0]


def _check(path: Path, kind: str, needed: Sequence[str], present: object) -> None:
    missing = [name for name in needed if name not in present]
    if missing:
        raise UserError(
            f"{path} has no {kind} {', '.join(missing)}: is it the kind of file that this figure "
            "is drawn from?"
        )
