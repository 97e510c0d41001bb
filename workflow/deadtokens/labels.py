"""What the variables of a file are: the words of standard coordinates, and one way to label.

An analysis says what its variables are in a table: name -> (axes, long name, unit). What is no
number has no unit, and a coordinate of names that speak for themselves no long name either.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import xarray as xr

from deadtokens.run.layout import AXES

Table = Mapping[str, tuple]

# Coordinate: long name, unit.
COORDINATES = {
    **{name: (axis.long_name, axis.units) for name, axis in AXES.items()},
    "population": (
        "dead: never in the text; live: in a batch of the run; never sampled: others",
        "1",
    ),
    "quantile": ("quantile over tokens, linear between two neighbours", "1"),
}


def label(
    values: Mapping[str, Any], variables: Table, coordinates: Table = MappingProxyType({})
) -> xr.Dataset:
    """Return values as a dataset in which each says what it is, in the order in which they come.

    Parameters
    ----------
    values : mapping of name to array
        Variables, and coordinates along their own axes.
    variables : mapping of name to (axes, long name, unit)
        What each variable is.
    coordinates : mapping of name to (long name, unit)
        What each coordinate is that is not one of `COORDINATES`, or means something else here.

    Raises
    ------
    KeyError
        If a value has no entry in the tables, or an entry of these two tables no value.
    ValueError
        If numbers have no unit.
    """
    standard = {name: COORDINATES[name] for name in values if name in COORDINATES}
    axes = {name: ((name,), *words) for name, words in (standard | dict(coordinates)).items()}
    table = axes | dict(variables)
    if table.keys() != values.keys():
        lacking = ", ".join(sorted(table.keys() ^ values.keys()))
        raise KeyError(f"a value without its label, or a label without its value: {lacking}")
    dataset = xr.Dataset({name: _variable(array, *table[name]) for name, array in values.items()})
    _require_units(dataset)
    return dataset


def _variable(array: Any, axes: tuple[str, ...], *words: str) -> tuple:
    return axes, array, dict(zip(("long_name", "units"), words, strict=False))


def _require_units(dataset: xr.Dataset) -> None:
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "biuf" and not {"long_name", "units"} <= variable.attrs.keys():
            raise ValueError(f"{name}: numbers have a meaning and a unit; say both in the table")
