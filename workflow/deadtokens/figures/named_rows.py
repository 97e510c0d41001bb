"""Rows of names, one below the other, in which every run has a mark of its own."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from deadtokens.figures import style

RUN, MARGIN, MOST = 0.07, 0.12, 0.6  # inches of height: a run's, around them, a row's
SPREAD = 0.7  # of a row, over which its runs are spread
BOUNDARY = {"color": "#e8e8e8", "linewidth": 0.5, "zorder": 0}
GROUND = {"facecolor": "white", "linewidth": 0, "boxstyle": "square,pad=0.05"}  # within its row


def row_height(runs: int) -> float:
    """Return the height of a row of so many runs, in inches."""
    return min(MARGIN + RUN * runs, MOST)


def places_of(
    rows: pd.Series, names: Sequence[str], runs: pd.Series, of: Sequence[str]
) -> pd.Series:
    """Return how far down marks stand, in rows.

    Parameters
    ----------
    rows, runs : Series
        The row and the run of each mark.
    names, of : sequence of str
        All rows, and all runs, in their order.
    """
    within = (runs.map(list(of).index) + 0.5) / len(of) - 0.5
    return rows.map(list(names).index) + SPREAD * within


def label_rows(axes: Axes, names: Sequence[str], labelled: bool = True) -> None:
    """Make the vertical axis one of rows; only some panels name them."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names if labelled else [])
    axes.tick_params(axis="y", length=0)
    for boundary in np.arange(0.5, len(names) - 1):
        axes.axhline(boundary, **BOUNDARY)


def say_not_defined(axes: Axes, names: Sequence[str], found: pd.Series) -> None:
    """Write into each row of which no mark was found that there is none."""
    for place, name in enumerate(names):
        if name not in set(found):
            at = axes.get_yaxis_transform()
            axes.text(0.5, place, "not defined", transform=at, bbox=GROUND, **style.SAID)


def mark(stroke: style.Stroke, filled: bool = True) -> dict:
    """Return how the mark of a run is drawn."""
    look = {"marker": stroke.marker or "o", "markersize": 3.2, "color": stroke.color}
    return look | {"linestyle": "", "markerfacecolor": stroke.color if filled else "white"}


def group_marks(
    table: pd.DataFrame, strokes: Mapping[str, style.Stroke], **besides: object
) -> list[tuple[Line2D, str]]:
    """Return the legend's entries for groups of runs; a mark is drawn as `besides` says too."""
    counts = table.groupby("group", sort=False)["run"].nunique()
    return [
        (
            Line2D([], [], **mark(strokes[group]) | besides),
            group if runs == 1 else f"{group} ({runs} runs)",
        )
        for group, runs in counts.items()
    ]
