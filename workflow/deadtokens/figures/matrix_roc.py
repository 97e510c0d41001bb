"""ROC curves of the indicators, where it is known which rows of a matrix are unused.

For every threshold of an indicator: the fraction of the known unused rows that are at or below it,
over the fraction of all others that are. Left the whole curve; on the diagonal an indicator says
nothing. Right the same with a logarithmic axis, since unused tokens are few: one percent of the
others can be as many rows as all unused ones together. A curve enters it at what an indicator finds
before the first false one. Some of the others may be unused too, which nobody knows: what is taken
for a false one then may be none. Of the record of a training those are known that stood in its text
and in none of its batches: nothing tells them from dead ones, and they are left out. The reference
is the mean of every second known token; the curves are those of the rest. Areas have a 95 %
interval by DeLong's variance, those of 0 and 1 that of Feng and Cliff; of one row alone there is
none.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.figures import command, matrices, style
from deadtokens.figures.axes import label_powers
from deadtokens.figures.columns import numbers, texts, typed
from deadtokens.figures.matrices import AREA, INDICATORS
from deadtokens.trajectory.populations import is_told

NOTHING = (
    "It is not known of any token of this matrix that it is unused:\n"
    "there is no truth to hold the indicators against."
)
TYPES = (
    matrices.OF_A_MATRIX
    | texts("indicator")
    | dict.fromkeys(("unused", "others"), "Int64")
    | AREA
    | numbers("false_positive", "true_positive")
)


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of one Dataset
        As `deadtokens.matrices.examine` makes it.

    Returns
    -------
    DataFrame
        One row an indicator and corner of its curve: the fractions of the ``others`` and of the
        ``unused`` rows at or below a threshold; how many these are, and the ``area`` with its
        interval. No rows where no truth is known.
    """
    data, about = matrices.about(datasets)
    parts = [_of_indicator(data, name) for name in INDICATORS if name in data]
    return typed(pd.concat(parts, ignore_index=True).assign(**about), TYPES)


def _of_indicator(data: xr.Dataset, name: str) -> pd.DataFrame:
    asked = ~data["reference"].values & is_told(data["kind"].values)
    asked &= ~np.isnan(data[name].values)
    values, truth = data[name].values[asked], data["known"].values[asked]
    area = {end: data[end].sel(indicator=name).item() for end in AREA}
    counts = {"unused": truth.sum(), "others": (~truth).sum()}
    return curve(values, truth).assign(indicator=name, **counts, **area)


def curve(values: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    """Return the corners of the ROC curve of "small means unused".

    Parameters
    ----------
    values : ndarray of shape (tokens,)
        Without NaN. Tokens with the same value pass a threshold together, on a slanted line.
    truth : bool ndarray of shape (tokens,)

    Returns
    -------
    DataFrame
        From (0, 0) to (1, 1); no rows where there are no two kinds to compare.
    """
    if truth.all() or not truth.any():
        return pd.DataFrame({"false_positive": [], "true_positive": []})
    order = np.argsort(values, kind="stable")
    last_of_ties = np.flatnonzero(np.diff(values[order], append=np.inf))
    found, wrong = (
        np.concatenate([[0], np.cumsum(kind[order])[last_of_ties]]) for kind in (truth, ~truth)
    )
    turns = np.diff(found)[:-1] * np.diff(wrong)[1:] != np.diff(wrong)[:-1] * np.diff(found)[1:]
    corners = np.concatenate([[True], turns, [True]])
    return pd.DataFrame(
        {"false_positive": wrong[corners] / wrong[-1], "true_positive": found[corners] / found[-1]}
    )


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty(NOTHING)
    figure = style.blank(height=3.0)
    whole, few = figure.subplots(1, 2, sharey=True)
    foot = 0.5 / table["others"].max()  # of an axis that has no 0
    for name, rows in table.groupby("indicator", sort=False):
        look = INDICATORS[name][1].line()
        whole.plot(rows["false_positive"], rows["true_positive"], **look)
        few.plot(rows["false_positive"].clip(lower=foot), rows["true_positive"], **look)
    chance = np.geomspace(foot, 1, 200)
    for axes in (whole, few):
        axes.plot(chance, chance, **style.DOTTED)
        axes.set_xlabel("fraction of the others taken for unused")
    whole.set_ylabel("fraction of the known unused found")
    label_powers(few, "x", few.get_xlabel() + " (log)")
    few.set_xlim(foot, 1)
    first = table.iloc[0]
    style.set_titles(
        figure, {whole: f"{first['unused']:,} known unused, {first['others']:,} others"}
    )
    matrices.legend_below(figure, table, _entries(table))
    return figure


def _entries(table: pd.DataFrame) -> list[tuple[Line2D, str]]:
    entries = []
    for row in table.drop_duplicates("indicator").to_dict("records"):
        words, stroke = INDICATORS[row["indicator"]]
        entries.append((Line2D([], [], **stroke.line()), f"{words}: {matrices.written_area(row)}"))
    return [*entries, (Line2D([], [], **style.DOTTED), "chance")]


RECIPE = command.Recipe(
    name="matrix_roc",
    title="ROC curves of the indicators",
    inputs=matrices.FILE,
    open=matrices.opener("kind", "known", "reference", *AREA, "norm", "to_mean"),
    table=table,
    draw=draw,
)
