"""Measurements on one run: what the figures of storage and of tensors do alike."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from deadtokens.errors import UserError

ATTRIBUTES = ("run", "updates", "measured_on", "measured_cores")


def measured_rows(
    datasets: Sequence[xr.Dataset], kind: str, quantities: Sequence[str], dims: Sequence[str]
) -> pd.DataFrame:
    """Return one row a point of the only measurement, with its `ATTRIBUTES`.

    Parameters
    ----------
    datasets : sequence of one Dataset
    kind : str
        What its file is called.
    quantities : sequence of str
        Variables; ``stored_bytes`` is given as ``kilobytes`` too.
    dims : sequence of str
        In the order in which the rows are sorted.

    Raises
    ------
    UserError
        If there are several measurements.
    """
    if len(datasets) != 1:
        raise UserError(f"{len(datasets)} files are given: this figure is drawn from one {kind}")
    (data,) = datasets
    rows = data[list(quantities)].to_dataframe(dim_order=list(dims)).reset_index()
    about = {name: data.attrs[name] for name in ATTRIBUTES}
    return rows.assign(kilobytes=rows["stored_bytes"] / 1e3, **about)
