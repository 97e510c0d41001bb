"""Where the centroid of the dead tokens ends, and what of it was to be foreseen.

One mark a run. What is known after the first tenth of the updates, the way so far and the mean
hidden states h, forecasts the rest of the way, which shares no update with it. Left: the cosine
between the rest and each forecast; grey is where two random directions lie in 95 % of cases, for
each mark by itself. A random walk has no direction. Centre: the length of the rest over that of the
forecast: far below 1 for a drift that was to keep up, as the centroid slows down; for a walk with
steps as large as before, above 1 if the steps that follow agree in their direction more than by
chance (a length of 0 is not drawn). Adam's steps against a constant gradient are lr in every
component, and lr h / rms(h) if h fluctuates about its mean. Right: the cosine between where the
centroid ends and where it began, and to the mean hidden states of the first and of the last tenth;
the last is no forecast. A direction that was foreseen is not a cause. Seeds are not averaged.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from deadtokens.drift.endpoint import FORECASTS, REST, STAY
from deadtokens.figures import style
from deadtokens.figures.axes import label_powers
from deadtokens.figures.columns import NAMES, numbers, texts
from deadtokens.figures.lines import strokes
from deadtokens.figures.named_rows import (
    group_marks,
    label_rows,
    mark,
    places_of,
    row_height,
    say_not_defined,
)
from deadtokens.figures.runs import Run, described, recipe_of_runs

COSINE, LENGTH, CLUE = "cosine", "length", "clue"
AXES = {
    COSINE: "cosine between rest\nand forecast",
    LENGTH: "length of the rest\nover the forecast's",
    CLUE: "cosine between\nthe end and the clue",
}
FORECAST_ROWS = [name for name in FORECASTS if name != STAY]
CLUES = {
    "initial centroid": "initial centroid",
    "mean hidden state, first tenth": "mean h,\nfirst tenth",
    "mean hidden state, last tenth": "mean h,\nlast tenth",
}
NULL = {"color": "#d9d9d9", "linewidth": 0, "zorder": 0}
NEEDED = (
    "end_forecast_cosine",
    "end_forecast_length",
    "end_clue_cosine",
    "forecast",
    "clue",
    "dead",
)
TYPES = NAMES | texts("quantity", "of") | numbers("value", "by_chance")


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield of each run every quantity ``of`` a forecast or a clue; what is not defined has no row.

    ``by_chance`` is the cosine that one in twenty random directions exceeds.
    """
    for run in runs:
        parts = [_part(run.data, quantity) for quantity in AXES]
        rows = pd.concat(parts).dropna(subset="value")
        yield described(rows.assign(by_chance=float(run.data.attrs["chance_cosine"])), run)


def _part(data: xr.Dataset, quantity: str) -> pd.DataFrame:
    if quantity == CLUE:
        values = data["end_clue_cosine"].sel(clue=list(CLUES))
        return pd.DataFrame({"quantity": CLUE, "of": list(CLUES), "value": values})
    values = data[f"end_forecast_{quantity}"].sel(span=REST, forecast=FORECAST_ROWS)
    return pd.DataFrame({"quantity": quantity, "of": FORECAST_ROWS, "value": values})


def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty("no motion of dead tokens")
    runs = list(dict.fromkeys(table["run"]))
    figure = style.blank(height=1.1 + len(FORECAST_ROWS) * row_height(len(runs)) * 1.6)
    panels = dict(zip(AXES, figure.subplots(1, len(AXES)), strict=True))
    looks = strokes(table)
    for quantity, axes in panels.items():
        rows = table[table["quantity"] == quantity]
        names = dict(zip(FORECAST_ROWS, FORECAST_ROWS, strict=True)) if quantity != CLUE else CLUES
        _draw_marks(axes, rows, list(names), runs, looks)
        label_rows(axes, list(names.values()), labelled=quantity != LENGTH)
        _scale(axes, quantity, rows["by_chance"].max())
    style.legend_below(figure, _legend(table, looks))
    return figure


def _draw_marks(
    axes: Axes,
    rows: pd.DataFrame,
    names: Sequence[str],
    runs: Sequence[str],
    looks: Mapping[str, style.Stroke],
) -> None:
    places = places_of(rows["of"], names, rows["run"], runs)
    for group, marks in rows.groupby("group", sort=False):
        axes.plot(marks["value"], places[marks.index], **mark(looks[group]))
    say_not_defined(axes, names, rows["of"])


def _scale(axes: Axes, quantity: str, by_chance: float) -> None:
    if quantity == LENGTH:
        axes.margins(x=0.1)
        label_powers(axes, "x", AXES[quantity])
        axes.axvline(1, color=style.NEUTRAL, linewidth=0.6, zorder=0)
        return
    axes.set_xlabel(AXES[quantity])
    axes.set_xlim(-1.05, 1.05)
    axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "", "0", "", "1"])
    if np.isfinite(by_chance):
        axes.axvspan(-by_chance, by_chance, **NULL)
    axes.axvline(0, color=style.NEUTRAL, linewidth=0.6, zorder=0)


def _legend(table: pd.DataFrame, looks: Mapping[str, style.Stroke]) -> list[tuple[object, str]]:
    null = (Patch(**NULL), "95 % of random directions")
    return [*group_marks(table, looks), null]


RECIPE = recipe_of_runs(
    "endpoint",
    "Where the dead tokens' centroid ends",
    "drift.nc",
    NEEDED,
    rows=_rows,
    types=TYPES,
    draw=draw,
    attributes=["chance_cosine"],
)
