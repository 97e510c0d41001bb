"""How much of the drift each principal component explains, against chance.

Drawn is the share of the variance that each principal component explains: of the dead tokens' net
displacements, raw (about zero: a common drift is a component) and centred (about their mean: what
tokens do differently), of the centroid's displacements by single updates, and of the final
positions within the cloud. The shaded band of a line is a 95 % bootstrap over tokens, corrected for
the bias of resampling: where no component stands out it lies below the line. The grey strip is what
vectors of the same lengths in random directions give. A component counts as more than chance if its
band lies above that, and those before it too; as shares sum to 1, behind a dominant component the
count is cautious. Shares below 0.0001 are not drawn. A large share says that there is one
direction, not what it is.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from deadtokens.figures import command, style
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.lines import group_entries, strokes
from deadtokens.figures.runs import Run, described, experiment, open_runs

PANELS = {
    ("net displacement", "raw"): "net displacements, raw",
    ("net displacement", "centred"): "net displacements, centred",
    ("centroid displacement", "raw"): "the centroid's steps, raw",
    ("final position", "centred"): "final positions, centred",
}
COMPONENTS = 10
LOWEST = 1e-4
NULL_COLOR = "#d9d9d9"
NEEDED = ("share", "share_band", "null_share", "components_above_null", "rank", "dead")
TYPES = {
    **NAMES,
    "series": "str",
    "source": "str",
    "centring": "str",
    "component": "int64",
    "share": "float64",
    "low": "float64",
    "high": "float64",
    "null_low": "float64",
    "null_high": "float64",
    "above_null": "int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's drift each.

    Returns
    -------
    DataFrame
        One row a run, panel and component: ``group``, ``regime``, ``label``, ``run``, ``series``,
        ``source``, ``centring``, ``component`` (from 1), ``share``, the ends of its band and of the
        null's, and how many leading components are ``above_null``. No rows where nothing has a
        variance: no dead tokens, or no motion.
    """
    runs = experiment(datasets)
    rows = pd.concat([_shares(run, *panel) for run in runs for panel in PANELS], ignore_index=True)
    rows = rows.dropna(subset="share", ignore_index=True)
    return typed(rows, TYPES)


def _shares(run: Run, source: str, centring: str) -> pd.DataFrame:
    data = run.data[list(NEEDED[:4])].sel(source=source, centring=centring)
    data = data.isel(rank=slice(COMPONENTS))
    rows = pd.DataFrame(
        {
            "series": "run",
            "source": source,
            "centring": centring,
            "component": data["rank"].values,
            "share": data["share"].values,
            "low": data["share_band"].values[:, 0],
            "high": data["share_band"].values[:, 1],
            "null_low": data["null_share"].values[:, 0],
            "null_high": data["null_share"].values[:, -1],
            "above_null": int(data["components_above_null"]),
        }
    )
    return described(rows, run)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=4.4)
    if table.empty:
        figure.text(0.5, 0.5, "no motion of dead tokens", ha="center")
        return figure
    by_group = strokes(table)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, (panel, title) in zip(panels.flat, PANELS.items(), strict=True):
        rows = table[(table["source"] == panel[0]) & (table["centring"] == panel[1])]
        _scale(axes)
        _draw_null(axes, rows)
        for _, line in rows.groupby("run", sort=False):
            _draw_run(axes, line, by_group[line["group"].iloc[0]])
        axes.set_title(f"{title}\n{_above(rows)}")
    for axes in panels[1]:
        axes.set_xlabel("principal component")
    for axes in panels[:, 0]:
        axes.set_ylabel("share of the variance")
    null = (Patch(color=NULL_COLOR), "same lengths, random directions (95 %)")
    style.legend_below(figure, [*group_entries(table, by_group), null])
    return figure


def _scale(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_ylim(LOWEST, 1.4)
    ticks = {10.0**power: f"{10.0**power:g}" for power in range(-4, 1)}
    axes.yaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xticks(range(1, COMPONENTS + 1))
    axes.set_xlim(0.6, COMPONENTS + 0.4)


def _draw_null(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the null of all runs together: from the lowest lower end to the highest upper one."""
    ends = rows.groupby("component").agg({"null_low": "min", "null_high": "max"})
    lows, highs = (np.maximum(ends[name], LOWEST) for name in ("null_low", "null_high"))
    axes.fill_between(ends.index, lows, highs, color=NULL_COLOR, linewidth=0, zorder=0)


def _draw_run(axes: Axes, line: pd.DataFrame, stroke: style.Stroke) -> None:
    shown = line[line["share"] > LOWEST]
    low, high = shown["low"].clip(LOWEST), shown["high"].clip(LOWEST)
    axes.fill_between(shown["component"], low, high, color=stroke.color, alpha=0.25, linewidth=0)
    marker = stroke.marker or "o"
    axes.plot(
        shown["component"], shown["share"], **stroke.line(), marker=marker, markersize=3, zorder=3
    )


def _above(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "no variance"
    counts = rows.groupby("run", sort=False)["above_null"].first()
    number = style.number_of(counts)
    return f"more than chance: {number} leading component{'s' if number != '1' else ''}"


RECIPE = command.Recipe(
    name="scree",
    title="Principal components of the dead tokens' drift",
    inputs="drift.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
