"""How well each indicator parts the rows that are known to be unused from all others.

Of each indicator the rows of both kinds by its value, as shares of their kind on a logarithmic
axis, on which a single row is seen; small values mean "not moved by training". The reference is the
mean of every second token that is known to be unused: drawn and counted are those that it does not
contain, beside all that are not known to be unused, some of which may be unused nevertheless; those
of the record of a training that stood in its text and in none of its batches are left out. The area
is that under the ROC curve, the chance that the indicator is smaller for an unused row than for
another one: 0.5 says nothing, less than that points the wrong way. Its 95 % interval is by DeLong's
variance, of an area of 0 or 1 that of Feng and Cliff, over rows as if they were independent; of one
row alone there is none. Where no token is known to be unused, those whose rows share their bits are
drawn in their place. These are the reference itself then, so that indicators which compare with it
have no area, and rows with the same bits are not independent: the intervals of the others are too
narrow.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import command, matrices, style
from deadtokens.figures.axes import label_powers
from deadtokens.figures.columns import texts, typed
from deadtokens.figures.matrices import AREA, INDICATORS, KNOWN, OTHER, POPULATIONS, REFERENCE
from deadtokens.statistics.roc import area_under_curve
from deadtokens.trajectory.populations import is_told

BINS = 60
LOWEST = 0.7  # of the axis of shares, relative to the smallest, so that this is seen
COLUMNS = 2
OF_ROWS_ALONE = ("norm", "to_mean")  # indicators that need no reference
OWN_REFERENCE = "no area: these rows are the reference"
WORDS = {KNOWN: "known to be unused", REFERENCE: "rows that share their bits", OTHER: "all others"}
TYPES = (
    matrices.OF_A_MATRIX
    | texts("indicator", "population")
    | dict.fromkeys(("tokens", "without_value"), "Int64")
    | AREA
    | dict.fromkeys(("lower", "upper"), "float64")
    | {"count": "Int64", "share": "float64"}
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
        One row an indicator, kind of tokens and bin, from ``lower`` to ``upper``: ``count``, and
        its ``share`` of the kind's rows that have a value. Of the indicator its ``area``, with the
        ends of the interval, NaN where there is none.
    """
    data, about = matrices.about(datasets)
    parts = [_of_indicator(data, name) for name in INDICATORS if name in data]
    return typed(pd.concat(parts, ignore_index=True).assign(**about), TYPES)


def _of_indicator(data: xr.Dataset, name: str) -> pd.DataFrame:
    values = data[name].values.astype(np.float64)
    known, reference = data["known"].values, data["reference"].values
    told = is_told(data["kind"].values)
    if matrices.is_known(data):
        kinds = {KNOWN: known & ~reference, OTHER: ~known & told}
        area = [data[end].sel(indicator=name).item() for end in AREA]
    else:
        kinds = {REFERENCE: reference, OTHER: ~reference & told}
        asked, of_rows_alone = reference | told, name in OF_ROWS_ALONE
        area = [np.nan] * 3
        if of_rows_alone:
            area = area_under_curve(values[asked], reference[asked])
    edges = matrices.binned(values, BINS)
    parts = [_of_kind(values[chosen], edges, kind) for kind, chosen in kinds.items()]
    return pd.concat(parts).assign(indicator=name, **dict(zip(AREA, area, strict=True)))


def _of_kind(values: np.ndarray, edges: np.ndarray, kind: str) -> pd.DataFrame:
    finite = values[np.isfinite(values)]
    count = np.histogram(finite, edges)[0]
    return pd.DataFrame(
        {
            "population": kind,
            "tokens": len(values),
            "without_value": len(values) - len(finite),
            "lower": edges[:-1],
            "upper": edges[1:],
            "count": count,
            "share": count / max(len(finite), 1),
        }
    )


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    indicators = [rows for _, rows in table.groupby("indicator", sort=False)]
    lines = -(-len(indicators) // COLUMNS)
    figure = style.blank(height=0.2 + 1.75 * lines)
    panels = figure.subplots(lines, COLUMNS, squeeze=False)
    for spare in panels.flat[len(indicators) :]:
        spare.remove()
    shown = dict(zip(panels.flat, indicators, strict=False))
    for axes, rows in shown.items():
        _draw_panel(axes, rows)
    for axes in panels[:, 0]:
        axes.set_ylabel("share of the rows [%]")
    style.set_titles(figure, {axes: _area(rows) for axes, rows in shown.items()})
    matrices.legend_below(figure, table, _entries(table))
    return figure


def _area(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    own = first["population"] == REFERENCE and first["indicator"] not in OF_ROWS_ALONE
    return OWN_REFERENCE if own else matrices.written_area(first)


def _draw_panel(axes: Axes, rows: pd.DataFrame) -> None:
    for kind in reversed(list(dict.fromkeys(rows["population"]))):
        bins = rows[rows["population"] == kind]
        axes.stairs(100 * bins["share"], [*bins["lower"], bins["upper"].iloc[-1]], **_look(kind))
    indicator = rows["indicator"].iloc[0]
    words, unit = INDICATORS[indicator][0], matrices.UNITS.get(indicator)
    axes.set_xlabel(f"{words} [{unit}]" if unit else words)
    label_powers(axes, "y")
    smallest = rows.loc[rows["share"] > 0, "share"].min()
    if smallest > 0:
        axes.set_ylim(LOWEST * 100 * smallest, 150)


def _look(kind: str) -> dict:
    if kind == OTHER:
        return {"color": POPULATIONS[kind].color, "fill": True, "linewidth": 0}
    return {"color": POPULATIONS[kind].color, "linewidth": 1.2}


def _entries(table: pd.DataFrame) -> list[tuple[object, str]]:
    entries = []
    for kind, rows in table.groupby("population", sort=False):
        without = rows["without_value"].max()
        said = f"{WORDS[kind]} (n = {rows['tokens'].iloc[0]:,}"
        said += f", up to {without:,} without a value)" if without else ")"
        handle = Patch(**_look(kind)) if kind == OTHER else Line2D([], [], **_look(kind))
        entries.append((handle, said))
    return entries


RECIPE = command.Recipe(
    name="matrix_distances",
    title="What tells the unused rows of a matrix",
    inputs=matrices.FILE,
    open=matrices.opener("kind", "known", "reference", *AREA, "norm", "to_mean"),
    table=table,
    draw=draw,
)
