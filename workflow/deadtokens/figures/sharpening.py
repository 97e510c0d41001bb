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

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.figures import command, style
from deadtokens.figures.axes import LogScaleWithZero, label_updates
from deadtokens.figures.bins import HIGHEST, LOWEST, even_starts, gathered, middles
from deadtokens.figures.columns import NAMES, in_bins, typed
from deadtokens.figures.lines import (
    divergence_entries,
    draw_ends,
    draw_groups,
    group_entries,
    range_entries,
    strokes,
)
from deadtokens.figures.runs import EACH, Run, described, end_of, experiment, longest, open_runs

LIMIT_COLOR = "#c8102e"
# Quantity: what stands above its panel, the variable that is its limit.
PANELS = {
    "probability_median": ("predicted probability of a dead token", None),
    "gradient_median": ("|gradient|", None),
    "gradient_decay": (
        "rate at which |gradient| falls (per update); red: sqrt(v) can fall no faster",
        "fastest_decay",
    ),
    "root_second_moment_median": ("sqrt(v), v the corrected second moment; red: Adam's eps", "eps"),
    "gradient_ratio_median": ("|gradient| / (sqrt(v) + eps)", None),
    "intended_in_walls_median": (
        "Adam's update over half an ulp of bfloat16; red: the wall of rounding",
        "wall",
    ),
    "displacement_mean": ("|displacement|, mean", None),
}
LINEAR = "gradient_decay"
WALL = 1.0
NEEDED = ("probability_median", "eps")
TYPES = {
    **NAMES,
    "series": "str",
    "quantity": "str",
    "limit": "float64",
    **in_bins("value"),
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's sharpening each: those of PANELS that it has, and their limits over ``update``,
        and ``eps``.

    Returns
    -------
    DataFrame
        One row a bin of updates: ``group``, ``regime``, ``label``, ``run``, ``series``,
        ``quantity``, the ``limit`` drawn with it (its median), ``update`` and ``last_update``, the
        median ``value`` with its ``lowest`` and ``highest``, and ``diverged_at`` where a diverged
        run ends. Values that do not exist have no rows.
    """
    runs = experiment(datasets)
    starts = even_starts(longest(runs))
    rows = [_curve(run, name, starts) for run in runs for name in PANELS if name in run.data]
    return typed(pd.concat(rows, ignore_index=True), TYPES)


def _curve(run: Run, quantity: str, starts: np.ndarray) -> pd.DataFrame:
    updates, values = run.data["update"].values, run.data[quantity].values
    limits = np.broadcast_to(_limit(run, PANELS[quantity][1]), updates.shape)
    line = gathered(updates, starts, "value", values).assign(
        series=EACH, limit=gathered(updates, starts, "limit", limits)["limit"]
    )
    line = line.dropna(subset="value")
    single = pd.DataFrame({"update": updates, "value": values, "limit": limits})
    ends = end_of(single.dropna(subset="value"), run)
    return described(pd.concat([line, ends]).assign(quantity=quantity), run)


def _limit(run: Run, name: str | None) -> np.ndarray | float:
    if name is None:
        return np.nan
    return WALL if name == "wall" else run.data[name].values


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=0.3 + 1.12 * len(PANELS))
    by_group = strokes(table)
    panels = figure.subplots(len(PANELS), 1, sharex=True)
    for axes, (quantity, (title, _)) in zip(panels, PANELS.items(), strict=True):
        rows = table[table["quantity"] == quantity]
        axes.set_title(title if len(rows) else f"{title}\nnothing recorded, or no dead tokens")
        if len(rows):
            _draw_panel(axes, rows, by_group)
    if len(table):
        label_updates(panels[-1], table)
    zero = LogScaleWithZero.spanning(_seen(table[table["quantity"] != LINEAR])).entries()
    limit = (Line2D([], [], color=LIMIT_COLOR, linewidth=0.8), "the limit named above the panel")
    entries = [*group_entries(table, by_group), *range_entries(table), limit, *zero]
    style.legend_below(figure, entries + divergence_entries(table))
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, by_group: dict[str, style.Stroke]) -> None:
    if rows["quantity"].iloc[0] != LINEAR:
        seen = pd.concat([_seen(rows), rows["limit"] / 2])  # no limit lies on the edge
        scale = LogScaleWithZero.spanning(seen)
        scale.apply(axes)
        rows = scale.place_rows(rows, "value")
    draw_groups(axes, rows[rows["series"] == EACH], "value", by_group)
    for _, line in rows.groupby("run", sort=False):
        axes.plot(middles(line), line["limit"], color=LIMIT_COLOR, linewidth=0.8, zorder=1)
    draw_ends(axes, rows, "value", "group", by_group)


def _seen(rows: pd.DataFrame) -> pd.Series:
    return pd.concat([rows[LOWEST], rows["value"], rows[HIGHEST]])


RECIPE = command.Recipe(
    name="sharpening",
    title="From the softmax to the wall",
    inputs="sharpening.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
