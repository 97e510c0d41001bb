"""What a recording of another training may lack, as NaN, and the sentence that says so."""

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from deadtokens.errors import NotInRecord
from deadtokens.trajectory.origin import vocabulary_size

ALL_ROWS, ALL_DEAD_ROWS = "all_rows", "all_dead_rows"  # of W: what a record may lack, as variables
WITHOUT = {
    "h_mean": "the mean hidden state was not recorded (`unembedding` gives it)",
    "probability": "the mean probabilities were not recorded (`unembedding` gives them)",
    "grad_norm": "by what clipping multiplied the gradients was not recorded",
    ALL_ROWS: "not all rows of W were recorded (`rows='all'` records them)",
    ALL_DEAD_ROWS: "not all dead rows of W may have been recorded (`rows='dead'` records them)",
}


def is_recorded(run: xr.Dataset, name: str) -> bool:
    """Return whether an opened run has a variable; or all rows of W, or all dead ones.

    Parameters
    ----------
    run : Dataset
    name : str
        Of the variable; or ALL_ROWS or ALL_DEAD_ROWS.
    """
    has_all_rows = run.sizes["token"] >= vocabulary_size(run)
    if name == ALL_ROWS:
        return has_all_rows
    if name == ALL_DEAD_ROWS:
        asked = json.loads(run.attrs.get("rows", "{}"))
        return has_all_rows or asked.get("rows") == "dead"
    return name in run


def check_all_rows(run: xr.Dataset, what: str) -> None:
    """Refuse a run of which some rows of W alone are recorded, where all are needed.

    Parameters
    ----------
    run : Dataset
    what : str
        What needs them: "its matrix examined".

    Raises
    ------
    NotInRecord
        If one is missing.
    """
    if not is_recorded(run, ALL_ROWS):
        raise NotInRecord(
            f"run {run.attrs['run']}: has {run.sizes['token']:,} of {vocabulary_size(run):,} rows "
            f"of W; record all of them to have {what}"
        )


def values_or_nan(run: xr.Dataset, name: str, dims: Sequence[str]) -> np.ndarray:
    """Return a variable of an opened run, float64; NaN throughout if it was not recorded.

    Parameters
    ----------
    run : Dataset
    name : str
    dims : sequence of str
        Its axes, in the order of the result.
    """
    if name in run:
        return run[name].transpose(*dims).values.astype(np.float64)
    return np.full([run.sizes[dim] for dim in dims], np.nan)


def left_out(run: xr.Dataset, **needing: str) -> str:
    """Return in words what cannot be said for want of what was not recorded, '' if all can.

    Parameters
    ----------
    run : Dataset
    **needing : str
        By what `is_recorded` takes, what needs it.
    """
    missing = [name for name in needing if not is_recorded(run, name)]
    return "; ".join(f"{needing[name]}: {WITHOUT[name]}" for name in missing)
