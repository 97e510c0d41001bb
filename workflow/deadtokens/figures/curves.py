"""What is drawn of a run over updates: its lines, where they end, their means over seeds."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from deadtokens.figures.bins import gathered
from deadtokens.figures.columns import NAMES
from deadtokens.figures.runs import DIVERGED, Run, described

EACH, MEAN, UNIFORM = "each update", "mean of runs", "uniform prediction"


def curve(
    run: Run,
    starts: np.ndarray,
    column: str,
    values: xr.DataArray,
    series: str = EACH,
    ends: bool = True,
    **about: object,
) -> pd.DataFrame:
    """Return a line of a run, and with it what `end_of` gives for its last number.

    Parameters
    ----------
    run : Run
    starts : ndarray of int
        The first updates of the bins.
    column : str
        What the values are called.
    values : DataArray
        Over ``update``, to be gathered in bins, or over ``probe``: each is then drawn by itself.
    series : str
    ends : bool
        Whether the line's end is marked.
    **about : object
        What tells the line from the run's others: a column each.
    """
    (axis,) = values.dims
    single = pd.DataFrame({"update": values[axis].values, column: values.values.astype("float64")})
    updates = single["update"].to_numpy()
    line = gathered(updates, starts if axis == "update" else updates, column, single[column])
    rows = [line.assign(series=series)]
    if ends:
        rows.append(end_of(single.dropna(subset=column), run))
    return described(pd.concat(rows, ignore_index=True).assign(**about), run)


def end_of(line: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Return the row that marks where a diverged run's line ends, none for a complete run.

    A run that diverged at its first update has no line: its row then has no value.
    """
    if not run.diverged:
        return line.iloc[:0]
    at = int(run.data.attrs["diverged_at"])
    last = line.iloc[[-1]] if len(line) else line.reindex([0]).assign(update=at)
    return last.assign(series=DIVERGED, diverged_at=at)


def mean_over_runs(rows: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Average `value` over the runs of each group that has several.

    The mean exists only where all runs of the group do: it never jumps because a run ended.

    Parameters
    ----------
    rows : DataFrame
        One row a run and point: ``group``, ``regime``, ``run``, the columns `by`, and `value`.
    by : sequence of str
        What makes a point: ``update``, and ``population`` if there is one.
    value : str
    """
    point = ["group", "regime", *by]
    means = rows.groupby(point, sort=False)[value].agg(["mean", "size"]).reset_index()
    runs = means["group"].map(rows.groupby("group")["run"].nunique())
    several = means[(runs > 1) & (means["size"] == runs)]
    names = several.assign(label=several["group"], run="", series=MEAN)
    return names.rename(columns={"mean": value}).drop(columns="size")


def positive(values: xr.DataArray) -> xr.DataArray:
    """Return what a logarithmic axis can show of a line."""
    return values[np.isfinite(values.values) & (values.values > 0)]


def uniform(runs: Sequence[Run], first: int) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each size of a vocabulary, and the ends of the line of a prediction of 1 / size.

    It reaches from the update `first` to the last of all runs. A file that does not tell the size
    has none.
    """
    sizes = {run.data.attrs.get("vocabulary_size") for run in runs} - {None}
    last = max(run.data["update"].values.max(initial=1) for run in runs)
    nobody = dict.fromkeys(NAMES, "")
    for size in sorted(map(int, sizes)):
        yield size, pd.DataFrame({"update": [first, last], "series": UNIFORM, **nobody})
