"""Open the small derived files that figures are drawn from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr

from deadtokens.comparison import settings
from deadtokens.errors import UserError
from deadtokens.netcdf import read_derived


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
