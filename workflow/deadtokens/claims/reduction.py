"""One number out of a variable of a derived file."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.audit.reading import read_audit
from deadtokens.claims.sample import NotTested
from deadtokens.errors import UserError
from deadtokens.netcdf import read_derived
from deadtokens.study.claims import Label, Variable

STATISTICS: Mapping[str, Callable[[np.ndarray], float]] = {
    "mean": np.mean,
    "median": np.median,
    "min": np.min,
    "max": np.max,
    "sum": np.sum,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "last over first": lambda values: values[-1] / values[0] if values[0] else np.nan,
}


def open_file(path: Path) -> xr.Dataset:
    """Read a derived file; of an audit, how many values of each tensor were compared and differ.

    Raises
    ------
    UserError
        If it is missing, damaged, or another one than its folder says.
    """
    if path.suffix != ".json":
        return read_derived(path)
    audit = read_audit(path)
    tallies = audit["tensors"] | audit["checksums"]
    counts = {
        name: ("tensor", [tally[name] for tally in tallies.values()])
        for name in ("compared", "differing")
    }
    return xr.Dataset(counts, {"tensor": list(tallies)}, {"status": audit["status"]})


def reduce(data: xr.Dataset, selection: Variable) -> float:
    """Return the number that a claim's selection makes of a file, NaN where it has none.

    Raises
    ------
    NotTested
        If a coordinate has no such number.
    UserError
        If the file has no such variable, coordinate or text label, or several values are left.
    """
    number = _reduced(data, selection, selection.variable)
    if selection.relative_to is None:
        return number
    reference = _reduced(data, selection, selection.relative_to)
    return number / reference if reference else np.nan


def _reduced(data: xr.Dataset, selection: Variable, name: str) -> float:
    array = _variable(data, selection, name)
    own = array.dims if name == selection.relative_to else None
    for axis, label in selection.at.items():
        if own is None or axis in own:
            array = array.isel({axis: _place(array, selection, axis, label)})
    for axis, (first, last) in selection.within.items():
        labels = _labels(array, selection, axis)
        array = array.isel({axis: (labels >= first) & (labels <= last)})
    if selection.where is not None:
        mask = _variable(data, selection, selection.where)
        array = array.isel({mask.dims[0]: mask.values.astype(bool)})
    if selection.statistic is None and array.ndim == 0:
        return float(array)
    if selection.statistic is None:
        raise UserError(
            f"{selection.file}: {name} has several values along {', '.join(map(str, array.dims))}; "
            "say which by `at`, or what becomes of them by `statistic`"
        )
    values = array.values.astype(float).ravel()
    finite = values[np.isfinite(values)]
    return float(STATISTICS[selection.statistic](finite)) if finite.size else np.nan


def _variable(data: xr.Dataset, selection: Variable, name: str) -> xr.DataArray:
    if name not in data:
        raise UserError(f"{selection.file}: has no variable {name!r}, of which a claim speaks")
    return data[name]


def _labels(array: xr.DataArray, selection: Variable, axis: str) -> np.ndarray:
    if axis not in array.dims or axis not in array.coords:
        raise UserError(f"{selection.file}: {array.name} has no coordinate {axis!r}")
    return array[axis].values


def _place(array: xr.DataArray, selection: Variable, axis: str, label: Label) -> int:
    labels = _labels(array, selection, axis)
    if isinstance(label, str):
        found = np.flatnonzero(labels == label)
        if not found.size:
            raise UserError(
                f"{selection.file}: {axis} has no {label!r}; it has {', '.join(map(str, labels))}"
            )
    else:
        found = np.flatnonzero(np.isclose(labels, label, rtol=1e-9, atol=0))
        if not found.size:
            raise NotTested(f"the record has no {axis} {label:,g}")
    return int(found[0])
