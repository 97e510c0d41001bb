"""Parts of a whole over bins of updates, stacked: what shares, ages, causes and phases have alike.

A figure says what its parts are called and how they look; their table, their divergence, their
areas and their legend are made here.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from deadtokens.figures import style
from deadtokens.figures.axes import label_log_updates, titled_grid
from deadtokens.figures.columns import typed
from deadtokens.figures.runs import Run

Parts = Mapping[str, tuple[str, str]]  # colour and words of each, by its name
GROUP = {"group": "str", "regime": "str", "runs": "int64", "tokens": "int64"}
BIN = {"first_update": "Int64", "last_update": "Int64"}


def group_table(
    runs: Sequence[Run],
    rows_of: Callable[[Sequence[Run]], pd.DataFrame],
    types: Mapping[str, str],
) -> pd.DataFrame:
    """Return the rows of each group of runs, with what is known of the group.

    Parameters
    ----------
    runs : sequence of Run
    rows_of : callable
        Gives a group's rows, with the ``tokens`` of its runs.
    types : mapping of str to str
        The table's columns.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    rows = [
        rows_of(members).assign(
            group=group,
            regime=members[0].regime,
            runs=len(members),
            diverged_at=divergence_of(members),
        )
        for group, members in groups.items()
    ]
    return typed(pd.concat(rows, ignore_index=True), types)


def divergence_of(runs: Sequence[Run]) -> object:
    """Return the update at which the first of the runs diverged, NA if none did."""
    return min((int(run.data.attrs["diverged_at"]) for run in runs if run.diverged), default=pd.NA)


def mean_fractions(runs: Sequence[pd.DataFrame], starts: np.ndarray, part: str) -> pd.DataFrame:
    """Average parts over the updates of bins, and then over runs as far as all of them go.

    Parameters
    ----------
    runs : sequence of DataFrame
        Each run's parts: a row an update, a column a part.
    starts : ndarray of int
        The first updates of the bins.
    part : str
        What the column with the names of the parts is called.

    Returns
    -------
    DataFrame
        One row a part and bin: ``first_update``, ``last_update``, `part`, ``fraction``. Without any
        bin one row without all of these.
    """
    bins = pd.concat([_binned(parts, starts) for parts in runs]).groupby("first_update")
    means = bins.mean().assign(last_update=bins["last_update"].min())
    means = means[bins.size() == len(runs)].reset_index()
    rows = means.melt(list(BIN), var_name=part, value_name="fraction")
    return rows if len(rows) else rows.reindex([0]).assign(**{part: ""})


def _binned(parts: pd.DataFrame, starts: np.ndarray) -> pd.DataFrame:
    updates = parts.index.to_numpy()
    first = pd.Series(
        starts[np.searchsorted(starts, updates, side="right") - 1], updates, name="first_update"
    )
    last = pd.Series(updates, updates).groupby(first).max()
    return parts.groupby(first).mean().assign(last_update=last)


def draw_areas(
    panels: Sequence[tuple[Sequence[str], pd.DataFrame]],
    part: str,
    parts: Parts,
    columns: int,
    height: float,
    ylabel: str,
) -> Figure:
    """Draw panels of areas on each other, over a logarithmic axis of updates.

    Parameters
    ----------
    panels : sequence of (sequence of str, DataFrame)
        The lines of the title and the rows of each; one without bins stays empty.
    part : str
        The column with the names of the parts.
    parts : mapping of str to (str, str)
        From the foot to the top.
    columns : int
    height : float
        Of a panel, in inches.
    ylabel : str
    """
    titles, tables = zip(*panels, strict=True)
    drawing = titled_grid(titles, columns, height, margin=0.4, ylabel=ylabel)
    for axes, rows in zip(drawing.panels, tables, strict=True):
        axes.set_ylim(0, 1)
        _draw_panel(axes, rows.dropna(subset="first_update"), part, parts)
    for axes in drawing.lowest:
        label_log_updates(axes, pd.concat(tables), filled=True)
    style.legend_below(drawing.figure, legend(parts))
    return drawing.figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, part: str, parts: Parts) -> None:
    if rows.empty:
        return
    fractions = rows.pivot(index="first_update", columns=part, values="fraction")
    edges = [*fractions.index, rows["last_update"].max() + 1]
    foot = np.zeros(len(fractions))
    for name, (color, _) in parts.items():
        top = foot + fractions[name].to_numpy()
        axes.stairs(top, edges, baseline=foot, fill=True, color=color, linewidth=0)
        foot = top


def legend(parts: Parts) -> list[tuple[Patch, str]]:
    """Return the legend's entries for the parts."""
    return [(Patch(color=color, linewidth=0), words) for color, words in parts.values()]


def divergence(rows: pd.DataFrame) -> str:
    """Write at which update the first of a panel's runs diverged, nothing if none did."""
    ended = rows["diverged_at"].min()
    return "" if pd.isna(ended) else f"diverged at update {ended:,}"


def group_title(rows: pd.DataFrame, before: str = "") -> str:
    """Write which group of how many runs a panel shows, and at which update the first diverged."""
    first = rows.iloc[0]
    runs = f" ({before}{first['runs']} runs)" if first["runs"] > 1 else ""
    return ": ".join(filter(None, [f"{first['group']}{runs}", divergence(rows)]))
