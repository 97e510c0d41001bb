"""Why the components of dead tokens stood still, as parts of all their components.

Grey moved, each colour below stood still, bit for bit, for one cause. Blue: even exact moments
would give an update that rounding to nearest loses; light blue: it waits in the compensation.
Yellow: another rounding within the update, or chance. Green, red, orange, violet: exact moments
would move it, and the colour says which. Lines: what the weights' format alone would have held, and
with that of the first or second moment. At each update (averaged over bins; the axis is
logarithmic) the areas are fractions of all components of dead tokens, black those that had no
gradient, neither now nor remembered. Exact moments are both moments replayed in float32 from the
recorded gradients. Yellow: with the recorded moments the update, computed exactly, would move the
component, but a rounding inside the update held it or, where results are rounded stochastically,
chance. Green to violet: the recorded moments would not move it, and the colour says which of them
had to be exact. The causes are asked from the bottom of the areas to the top, and the weight's half
ulp has the first word. The lines have no order, all else than the formats that they name is exact
in them, and they overlap; a line far above its colour says that the order hides a wall. Components
are counted one by one: a token is frozen where all of its components rest, which is rarer the wider
the model is. This is a counterfactual along the recorded gradients, one update at a time. It does
not say what a training with exact moments would have become: the weights would have moved, and so
would the gradients. Along a path that is frozen already other walls hardly can show; trainings
without them decide. Under stochastic rounding blue does not mean that the update was bound to be
lost.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from deadtokens.figures import stacks
from deadtokens.figures.bins import bin_starts
from deadtokens.figures.columns import DIVERGED_AT, numbers, texts
from deadtokens.figures.runs import Run, longest

BINS = 80
MOVED = "moved"
# What is drawn, from the bottom to the top: colour, and the words of the legend.
LAYERS = {
    "no gradient": ("#1a1a1a", "no gradient, neither now nor remembered"),
    "below half an ulp": ("#4a86b8", "below half an ulp, even with exact moments"),
    "compensated": ("#b9d3e6", "below half an ulp, but kept in the compensation"),
    "another rounding": ("#f4d35e", "another rounding of the update, or chance"),
    "first moment": ("#7fc8a9", "first moment: only that one had to be exact"),
    "second moment": ("#a8234a", "second moment: only that one had to be exact"),
    "either": ("#f2a27a", "either moment: one exact one was enough"),
    "both together": ("#54276b", "both moments: both had to be exact"),
    MOVED: ("#ececec", "moved"),
}
# Lines: what would have kept the components still without an order, and the words of the legend.
LINES = {
    "weight": ("-", "the weights' format would hold, in any order"),
    "weight, first moment": ((0, (1, 1.2)), "that and the first moment's format would"),
    "weight, second moment": ((0, (4, 2)), "that and the second moment's format would"),
}
LINE = {"color": "black", "linewidth": 0.9, "zorder": 3}
TYPES = stacks.GROUP | texts("cause") | stacks.BIN | numbers("fraction", "held") | DIVERGED_AT


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield the fractions of all components of dead tokens that each cause held, or that moved.

    ``tokens`` are the dead ones. What each of `LINES` would have ``held`` has rows of its own; it
    is no part, and overlaps.
    """
    starts = bin_starts(longest(runs) + 1, BINS + 1)[:-1]

    def fractions(members: Sequence[Run]) -> pd.DataFrame:
        rows, lines = (
            stacks.mean_fractions([parts(run.data) for run in members], starts, "cause")
            for parts in (_layers, _lines)
        )
        lines = lines[lines["cause"] != ""].rename(columns={"fraction": "held"})
        rows = pd.concat([rows, lines], ignore_index=True)
        return rows.assign(tokens=max(run.data.sizes["token"] for run in members))

    return stacks.of_groups(runs, fractions)


def _layers(data: xr.Dataset) -> pd.DataFrame:
    """Return, per update, the parts of all components of dead tokens; none without dead tokens."""
    data = data if data.sizes["token"] else data.isel(update=[])
    still = data["still_fraction"]
    parts = (data["cause_fraction"].fillna(0) * still).transpose("update", "cause")
    return parts.to_pandas().assign(**{MOVED: 1 - still.values})


def _lines(data: xr.Dataset) -> pd.DataFrame:
    """Return, per update, what each of `LINES` would have held of all components."""
    data = data if data.sizes["token"] else data.isel(update=[])
    held = data["holder_fraction"].sel(holder=list(LINES)).fillna(0) * data["still_fraction"]
    return held.transpose("update", "holder").to_pandas()


def _draw_lines(axes: Axes, rows: pd.DataFrame) -> None:
    for name, (dashes, _) in LINES.items():
        line = rows[rows["cause"] == name].sort_values("first_update")
        edges = [*line["first_update"], *line["last_update"][-1:] + 1]
        heights = [*line["held"], *line["held"][-1:]]
        axes.plot(edges, heights, drawstyle="steps-post", linestyle=dashes, **LINE)


def _title(rows: pd.DataFrame) -> list[str]:
    name = stacks.group_title(rows, "mean of ")
    if not rows["tokens"].iloc[0]:
        return [name, "no dead tokens"]
    moved = rows[rows["cause"] == MOVED]
    if moved.empty:
        return [name, "no update"]
    length = (moved["last_update"] - moved["first_update"] + 1).astype(float)
    still = 1 - np.average(moved["fraction"], weights=length)
    return [name, f"{100 * still:.3g} % still, over all updates"]


FIGURE = stacks.StackFigure(
    part="cause",
    parts=LAYERS,
    types=TYPES,
    rows=_rows,
    panels=lambda table: stacks.of_table(table, _title),
    columns=lambda table: min(table["group"].nunique(), 3),
    height=1.85,
    ylabel="fraction of dead\ntokens' components",
    over=_draw_lines,
    entries=[(Line2D([], [], linestyle=dashes, **LINE), words) for dashes, words in LINES.values()],
)
RECIPE = FIGURE.recipe(
    "causes",
    "Why components of dead tokens stood still",
    "stillness.nc",
    [
        *("still_fraction", "cause_fraction", "cause", "token"),
        *("holder_fraction", "holder"),
    ],
)
