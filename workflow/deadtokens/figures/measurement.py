"""Measurements on one run: what the figures of storage and of tensors do alike."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from deadtokens.figures.columns import typed
from deadtokens.figures.inputs import only, open_dataset

NOTHING = "no update was recorded"
MACHINE = {"measured_on": "str", "measured_cores": "int64"}
ATTRIBUTES = ("run", "updates", *MACHINE)


def opener(variables: Sequence[str]) -> Callable[[Sequence[Path]], list[xr.Dataset]]:
    """Return the function that reads measurements with these variables."""
    return lambda paths: [open_dataset(path, variables, ATTRIBUTES) for path in paths]


def table(
    datasets: Sequence[xr.Dataset],
    quantities: Sequence[str],
    types: Mapping[str, str],
    **columns: Callable[[pd.DataFrame], pd.Series],
) -> pd.DataFrame:
    """Return one row a point of the only measurement; none where nothing was measured.

    Parameters
    ----------
    datasets : sequence of one Dataset
    quantities : sequence of str
        Variables, among them ``stored_bytes``, which is given as ``kilobytes`` too.
    types : mapping of str to str
        The table's columns: also `ATTRIBUTES`. Its axes come in the order in which the rows are
        sorted.
    **columns : callable
        Columns made of the variables.

    Raises
    ------
    UserError
        If there are several measurements.
    """
    data = only(datasets)
    points = data[list(quantities)]
    rows = points.to_dataframe(dim_order=[name for name in types if name in points.dims])
    about = {name: data.attrs[name] for name in ATTRIBUTES}
    rows = rows.reset_index().dropna().assign(kilobytes=lambda rows: rows["stored_bytes"] / 1e3)
    return typed(rows.assign(**about, **columns), types).reset_index(drop=True)


def written(value: float) -> str:
    """Write a size or a time."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def about(table: pd.DataFrame) -> tuple[tuple[str, str], tuple[str, str]]:
    """Write which updates of which run were measured, and on how many cores of which machine."""
    first = table.iloc[0]
    cores = first["measured_cores"]
    return (
        (f"first {first['updates']:,} updates of", first["run"]),
        (f"{cores} core{'s' if cores > 1 else ''}", first["measured_on"]),
    )
