"""From the softmax to the wall of rounding: what drives the dead tokens, and their motion.

Downwards: the probability that the model gives a dead token (median over tokens); the size of its
gradient; the rate at which that size fell over the last 100 updates, in red the fastest rate at
which the root of the second moment could have fallen over them in exact arithmetic, without any new
gradient; that root, with eps in red; the ratio of gradient and root; the size of Adam's update
before rounding over half an ulp of bfloat16; and the displacement that was recorded (its mean,
because its median is 0 once most components stand still). Except for the first and the last panel
these are medians over all components of a sample of the dead tokens: all those in every k-th
stretch of the vocabulary, at least about 256 (attribute ``sampled_tokens`` of ``sharpening.nc``).
Adam divides a gradient's scale out where the rate lies below its red line and the root far above
eps; where the rate lies above, the ratio falls with the gradient. Update and root are computed from
the recorded moments in float32: moments that are bfloat16 may have stopped changing themselves,
which this figure does not separate. Of more than 100 updates bins are drawn: the median of a bin as
a line, shaded the range of all its updates.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from deadtokens.figures.axes import LogScaleWithZero
from deadtokens.figures.bins import even_starts, middles
from deadtokens.figures.columns import DIVERGED_AT, NAMES, in_bins, numbers, texts
from deadtokens.figures.curves import curve
from deadtokens.figures.lines import draw_ends, draw_groups
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, run_entries
from deadtokens.figures.runs import DIVERGED, Run, longest

LIMIT = {"color": "#c8102e", "linewidth": 0.8}
MEDIAN = "median over components"
# Quantity: what stands above its panel, the variable that is its limit.
PANELS = {
    "probability_median": ("predicted probability of a dead token, median over tokens", None),
    "gradient_median": (f"|gradient| (nat), {MEDIAN}", None),
    "gradient_decay": (
        "rate at which the median |gradient| falls (per update); red: sqrt(v) can fall no faster",
        "fastest_decay",
    ),
    "root_second_moment_median": (
        f"sqrt(v) (nat), v the corrected second moment, {MEDIAN}; red: Adam's eps",
        "eps",
    ),
    "gradient_ratio_median": (f"|gradient| / (sqrt(v) + eps), {MEDIAN}", None),
    "intended_in_walls_median": (
        f"intended update over half an ulp of bfloat16, {MEDIAN}; red: the wall of rounding",
        "wall",
    ),
    "displacement_mean": ("|displacement| (weight), mean over components", None),
}
LINEAR = "gradient_decay"
WALL = 1.0
TYPES = NAMES | texts("series", "quantity") | numbers("limit") | in_bins("value") | DIVERGED_AT


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    starts = even_starts(longest(runs))
    for run in runs:
        for quantity in (name for name in PANELS if name in run.data):
            values = run.data[quantity]
            limits = values.copy(data=np.broadcast_to(_limit(run, quantity), values.shape))
            rows = curve(run, starts, "value", values, quantity=quantity)
            rows = rows.assign(limit=curve(run, starts, "limit", limits)["limit"])
            yield rows[rows["value"].notna() | (rows["series"] == DIVERGED)]


def _limit(run: Run, quantity: str) -> np.ndarray | float:
    name = PANELS[quantity][1]
    if name is None:
        return np.nan
    return WALL if name == "wall" else run.data[name].values


def _panels(table: pd.DataFrame) -> list[Panel]:
    return [_panel(table[table["quantity"] == name], title) for name, (title, _) in PANELS.items()]


def _panel(rows: pd.DataFrame, title: str) -> Panel:
    if rows.empty:
        return Panel(rows, f"{title}\nnothing recorded, or no dead tokens")
    if rows["quantity"].iloc[0] == LINEAR:
        return Panel(rows, title)
    half_limits = rows["limit"] / 2  # so that no limit lies on the edge
    scale = LogScaleWithZero.of_bins(rows, "value", half_limits)
    return Panel(scale.place_rows(rows, "value"), title, scale=partial(scale.apply, most_ticks=4))


def _draw_lines(axes: Axes, rows: pd.DataFrame, strokes: Strokes) -> None:
    draw_groups(axes, rows, "value", strokes)
    for _, line in rows.groupby("run", sort=False):
        axes.plot(middles(line), line["limit"], **LIMIT, zorder=1)


def _entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    limit = (Line2D([], [], **LIMIT), "the limit named above the panel")
    scale = LogScaleWithZero.of_bins(table[table["quantity"] != LINEAR], "value")
    return [*run_entries(table, strokes), limit, *scale.entries()]


FIGURE = PanelFigure(
    column="value",
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    mark=draw_ends,
    entries=_entries,
    columns=lambda number: 1,
    height=1.12,
    margin=0.3,
    sharey=False,
)
RECIPE = FIGURE.recipe(
    "sharpening", "From the softmax to the wall", "sharpening.nc", ["displacement_mean"]
)
