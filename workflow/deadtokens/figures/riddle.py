"""Figure: dead gradients before training, expected and observed, by the scale of the embedding."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import command, style
from deadtokens.figures.columns import typed
from deadtokens.figures.inputs import open_dataset
from deadtokens.figures.logscale import label_powers

MEASURED = ("dead_probability", "dead_gradient", "live_gradient")
NEEDED = (*MEASURED, "predicted_dead_probability", "mean_hidden", "embedding_std", "tying")
TYINGS = {
    "tied": style.Stroke("#8a1c5a", (), "o"),
    "untied": style.Stroke("#2878b5", (4, 1.5), "s"),
}
SIZES = {"tied": 3.5, "untied": 6.5}  # one point must not hide the other
DOTTED = {"color": style.NEUTRAL, "linewidth": 0.9, "linestyle": (0, (1, 1.5))}
TYPES = {
    "tying": "str",
    "embedding_std": "float64",
    **dict.fromkeys(MEASURED, "float64"),
    "predicted_dead_probability": "float64",
    "predicted_gradient_low": "float64",
    "predicted_gradient_high": "float64",
    "uniform_probability": "float64",
    "uniform_gradient": "float64",
}


def open_starts(paths: Sequence[Path]) -> list[xr.Dataset]:
    """Read what `deadtokens initial` writes."""
    return [open_dataset(path, NEEDED, ("spec", "vocabulary_size")) for path in paths]


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One, of the first run of the experiment.

    Returns
    -------
    DataFrame
        One row a ``tying`` and ``embedding_std``: what was measured; the predicted probability;
        the gradients that follow from it if all positions share it alike
        (``predicted_gradient_low``: p |h_mean|), or if one position has it all
        (``predicted_gradient_high``: p sqrt(D)); and what a uniform softmax would give.
    """
    (start,) = datasets
    width = json.loads(start.attrs["spec"])["width"]
    size = int(start.attrs["vocabulary_size"])
    rows = start[[name for name in NEEDED if name in start.data_vars]].to_dataframe().reset_index()
    rows["tying"] = pd.Categorical(rows["tying"], list(TYINGS))
    rows = rows.sort_values(["tying", "embedding_std"], ignore_index=True)
    p = rows["predicted_dead_probability"]
    rows = rows.assign(
        predicted_gradient_low=p * rows["mean_hidden"],
        predicted_gradient_high=p * np.sqrt(width),
        uniform_probability=1 / size,
        uniform_gradient=rows["mean_hidden"] / size,
    )
    return typed(rows, TYPES)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.9)
    left, right = figure.subplots(1, 2, sharex=True)
    _draw_probability(left, table)
    _draw_gradients(right, table)
    for axes in (left, right):
        label_powers(axes, "x", "standard deviation of the embedding at the start")
    style.legend_below(figure, _legend(table))
    return figure


def _draw_probability(axes: Axes, table: pd.DataFrame) -> None:
    for tying, rows in table.groupby("tying", sort=False):
        stroke = TYINGS[tying]
        axes.plot(rows["embedding_std"], rows["predicted_dead_probability"], **stroke.line())
        _draw_points(axes, rows, "dead_probability")
    axes.plot(table["embedding_std"], table["uniform_probability"], **DOTTED)
    label_powers(axes, "y", "probability of a dead token")
    if table["dead_probability"].isna().all():
        axes.set_title("no dead tokens")


def _draw_gradients(axes: Axes, table: pd.DataFrame) -> None:
    for tying, rows in table.groupby("tying", sort=False):
        stroke = TYINGS[tying]
        low, high = rows["predicted_gradient_low"], rows["predicted_gradient_high"]
        axes.fill_between(rows["embedding_std"], low, high, color=stroke.color, alpha=0.15, lw=0)
        _draw_points(axes, rows, "dead_gradient")
        _draw_points(axes, rows, "live_gradient", markerfacecolor="none")
    tied = table[table["tying"] == "tied"]
    axes.plot(tied["embedding_std"], tied["uniform_gradient"], **DOTTED)
    label_powers(axes, "y", "norm of a row's gradient (nat)")


def _draw_points(axes: Axes, rows: pd.DataFrame, column: str, **look: str) -> None:
    tying = rows["tying"].iloc[0]
    axes.plot(rows["embedding_std"], rows[column], **_point(tying), **look)


def _point(tying: str) -> dict:
    stroke = TYINGS[tying]
    look = {"color": stroke.color, "marker": stroke.marker, "markersize": SIZES[tying]}
    return look | {"linestyle": "", "zorder": 4 if tying == "tied" else 3}


def _legend(table: pd.DataFrame) -> list[tuple[object, str]]:
    entries: list[tuple[object, str]] = []
    for tying, stroke in TYINGS.items():
        point = _point(tying)
        entries += [
            (Line2D([], [], **point), f"{tying}, dead tokens: measured"),
            (Line2D([], [], **point, markerfacecolor="none"), f"{tying}, live tokens: measured"),
            (Line2D([], [], **stroke.line()), f"{tying}: p predicted"),
            (Patch(color=stroke.color, alpha=0.2, linewidth=0), f"{tying}: p |h| predicted"),
        ]
    size = 1 / table["uniform_probability"].iloc[0]
    entries.append((Line2D([], [], **DOTTED), f"uniform softmax, p = 1/{size:,.0f}"))
    return entries


RECIPE = command.Recipe(
    name="riddle",
    title="Dead gradients before training",
    inputs="initial.nc of the first run of the experiment",
    open=open_starts,
    table=table,
    draw=draw,
)
