"""Adam's first update of each component against the size of its gradient.

The updates of the components of W are drawn over the learning rate. Components are gathered in bins
of a quarter of a decade; marks are medians, bars reach from 5 % to 95 %. *Intended* is what the
recorded moments ask for, computed in float64; *realised* is what W did, rounding and decay
included. At t = 1 the intended update is the grey curve: the gradient's sign far above eps, a
multiple of the gradient far below. Crosses are gradients of 1e-2 to 1e-12 put through the update
rule by itself. The figure says nothing of later updates, whose moments remember.
"""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.figures import command, style
from deadtokens.figures.axes import LogScaleWithZero, grid, label_powers
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.runs import Run, described, experiment, open_runs

INTENDED, REALISED, EXAMPLE, CURVE = "intended", "realised", "example", "|g| / (|g| + eps)"
MARKERS = {INTENDED: "o", REALISED: "D"}
NEEDED = ("first_gradient", "first_intended", "first_realised", "example_multiplier", "spread")
TYPES = {
    **NAMES,
    "series": "str",
    "population": "str",
    "components": "Int64",
    "gradient": "float64",
    "low": "float64",
    "update": "float64",
    "high": "float64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's gradients each.

    Returns
    -------
    DataFrame
        One row a value: ``series`` (the intended or the realised update of a bin of components, an
        example computed by the update rule, a point of the curve), ``population``, ``components``
        in the bin, ``gradient`` (|g|, geometric mean), and ``update`` (|update| / lr, median) with
        its 5 % and 95 % quantiles ``low`` and ``high``.
    """
    rows = [_series(run) for run in experiment(datasets)]
    return typed(pd.concat(rows, ignore_index=True), TYPES)


def _series(run: Run) -> pd.DataFrame:
    data = run.data
    examples = pd.DataFrame(
        {"gradient": data["example"].values, "update": data["example_multiplier"].values}
    ).assign(series=EXAMPLE)
    parts = [examples, _curve(run, examples["gradient"])]
    for population in data["population"].values:
        for series in (INTENDED, REALISED):
            one = data.sel(population=population)
            quantiles = one[f"first_{series}"].values
            rows = pd.DataFrame(quantiles, columns=["low", "update", "high"])
            rows = rows.assign(gradient=one["first_gradient"], components=one["first_count"])
            rows = rows[np.isfinite(rows["gradient"])]
            parts.append(rows.assign(series=series, population=population))
    rows = pd.concat(parts, ignore_index=True).fillna({"population": ""})
    return described(rows, run)


def _curve(run: Run, examples: pd.Series) -> pd.DataFrame:
    eps = json.loads(run.data.attrs["spec"]).get("eps", 1e-8)
    drawn = np.append(run.data["first_gradient"].values.ravel(), examples)
    low, high = np.nanmin(drawn), np.nanmax(drawn)
    gradient = np.geomspace(low, high, 200)
    return pd.DataFrame({"gradient": gradient, "update": gradient / (gradient + eps)}).assign(
        series=CURVE
    )


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = list(dict.fromkeys(table["run"]))
    drawing = grid(len(runs), min(len(runs), 2), height=2.3, margin=0.4)
    scale = LogScaleWithZero.spanning(pd.concat([table["update"], table["low"]]))
    titles = {}
    for axes, run in zip(drawing.panels, runs, strict=True):
        rows = table[table["run"] == run]
        _draw_panel(axes, rows, scale)
        titles[axes] = style.as_drawn(rows["label"].iloc[0], 45)
    style.set_titles(drawing.figure, titles)
    for axes in drawing.lowest:
        axes.set_xlabel("gradient of a component at the first update, |g|")
    for axes in drawing.left:
        axes.set_ylabel("|first update| / learning rate")
    style.legend_below(drawing.figure, _legend(table) + scale.entries())
    return drawing.figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, scale: LogScaleWithZero) -> None:
    curve = rows[rows["series"] == CURVE]
    axes.plot(curve["gradient"], curve["update"], color=style.NEUTRAL, linewidth=0.9, zorder=1)
    examples = rows[rows["series"] == EXAMPLE]
    axes.plot(examples["gradient"], examples["update"], **_example())
    binned = rows[rows["series"].isin(MARKERS)]
    for (series, population), points in binned.groupby(["series", "population"], sort=False):
        shift = 1.12 ** (list(style.POPULATIONS).index(population) - 1)  # beside each other
        heights, low, high = (scale.place(points[name]) for name in ("update", "low", "high"))
        color = style.POPULATIONS[population].color
        axes.vlines(points["gradient"] * shift, low, high, color=color, linewidth=0.6, zorder=2)
        axes.plot(points["gradient"] * shift, heights, **_point(series, color))
    label_powers(axes, "x", "")
    scale.apply(axes)


def _point(series: str, color: str) -> dict:
    open_face = {} if series == INTENDED else {"markerfacecolor": "white"}
    look = {"color": color, "marker": MARKERS[series], "linestyle": "", "markeredgewidth": 0.8}
    size = 4.0 if series == INTENDED else 2.6  # realised on intended, both to be seen
    return look | open_face | {"markersize": size, "zorder": 3 if series == INTENDED else 4}


def _example() -> dict:
    return {
        "color": "#c2410c",
        "marker": "x",
        "linestyle": "",
        "markersize": 5,
        "markeredgewidth": 1.0,
        "zorder": 5,
    }


def _legend(table: pd.DataFrame) -> list[tuple[object, str]]:
    entries = [
        (Line2D([], [], **_point(series, style.POPULATIONS[population].color)), text)
        for population in table.loc[table["series"] == INTENDED, "population"].unique()
        for series, text in (
            (INTENDED, f"{population} tokens: intended (recorded moments)"),
            (REALISED, f"{population} tokens: realised, |W[1] - W[0]|"),
        )
    ]
    entries.append((Line2D([], [], color=style.NEUTRAL, linewidth=0.9), CURVE))
    entries.append((Line2D([], [], **_example()), "single gradients through the update rule"))
    return entries


RECIPE = command.Recipe(
    name="firststep",
    title="Adam's first update",
    inputs="gradients.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
