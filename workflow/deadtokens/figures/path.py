"""The path of the dead tokens' centroid in its plane, with the cloud at marked states.

The plane is that of the first two principal components of the centroid's own positions at all
states; its start is the origin. Colour is the update, on a logarithmic scale. Ellipses hold the
cloud at seven states, early ones closer together in time, drawn at two standard deviations within
the plane. Titles give the share of the path's variance that lies in the plane, and the efficiency:
distance from the start over the length of the way; behind each, in brackets, what a random walk
gives whose steps are as long as the centroid's, one by one, in independent directions: the median,
and the root mean square. Of any walk two components explain much, and draw half a wave and a whole
one. Momentum makes neighbouring steps alike, and such walks a few times as efficient. At most about
2,000 states are joined, evenly spaced. Every run has a plane of its own: lengths compare between
panels, directions do not. Steps out of the plane, and the cloud's extent across it, are not seen.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.ticker import LogLocator

from deadtokens.drift.labels import INDEPENDENT
from deadtokens.figures import style
from deadtokens.figures.axes import titled_grid
from deadtokens.figures.columns import NAMES, numbers, texts
from deadtokens.figures.runs import Run, described, drawn, recipe_of_runs, thinning

CENTROID, CLOUD = "centroid", "cloud"
COLORS = "viridis"
DEVIATIONS = 2
MARGIN = 0.04  # of the widest extent
NEEDED = (
    *("path", "ellipse", "plane_share", "efficiency", "marked", "dead"),
    *("walk_plane_share", "walk_efficiency"),
)
TYPES = (
    NAMES
    | texts("series")
    | {"state": "int64"}
    | numbers("x", "y", "xx", "xy", "yy", "plane_share", "efficiency")
    | numbers("walk_plane_share", "walk_efficiency")
)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield the states drawn of each run.

    Of `CENTROID` ``x`` and ``y`` are given, of `CLOUD` the covariance within the plane too, and of
    the whole run the plane's share of the path's variance and the path's efficiency, and those of
    random walks. A run whose dead centroid never moved has one row, without coordinates.
    """
    every = thinning(runs)
    for run in runs:
        yield described(_states(run.data.sel(population="dead"), every), run)


def _states(data: xr.Dataset, every: int) -> pd.DataFrame:
    path = data["path"].values
    if not np.isfinite(path).all():
        return pd.DataFrame({"series": CENTROID, "state": [0]})
    states, marked = data["state"].values, data["marked"].values
    shown = (states == 0) | drawn(states, every)
    centroid = pd.DataFrame({"series": CENTROID, "state": states, "x": path[:, 0], "y": path[:, 1]})
    cloud = centroid.iloc[np.searchsorted(states, marked)].assign(series=CLOUD)
    matrices = data["ellipse"].values.reshape(len(marked), 4)
    cloud[["xx", "xy", "yy"]] = matrices[:, [0, 1, 3]]
    known = np.isfinite(matrices).all(axis=1)  # squares overflow before the path does
    return pd.concat([centroid[shown], cloud[known]]).assign(
        plane_share=float(data["plane_share"].sum()),
        efficiency=float(data["efficiency"][-1]),
        walk_plane_share=float(data["walk_plane_share"].sel(null_quantile=0.5)),
        walk_efficiency=float(data["walk_efficiency"].sel(walk=INDEPENDENT)[-1]),
    )


def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = [rows for _, rows in table.groupby("run", sort=False)]
    columns = 2 if len(runs) in (2, 4) else min(len(runs), 3)
    limits = _limits(table)
    height = 0.5 + (style.FULL_WIDTH - 1.1) / columns * _aspect(limits)
    titles = [[rows["label"].iloc[0], *_about(rows)] for rows in runs]
    drawing = titled_grid(titles, columns, height, margin=0.6, ylabel="")
    # Once, as rows may be lower than it is long.
    drawing.figure.supylabel("component 2 (weight)", fontsize=rcParams["axes.labelsize"])
    norm = LogNorm(1, max(2, table["state"].max()))
    for axes, rows in zip(drawing.panels, runs, strict=True):
        axes.set(xlim=limits[0], ylim=limits[1], aspect="equal")
        _draw_run(axes, rows.dropna(subset="x"), norm)
    for axes in drawing.lowest:
        axes.set_xlabel("component 1 (weight)")
    _add_scale(drawing.figure, norm)
    style.legend_below(drawing.figure, _legend())
    return drawing.figure


def _about(rows: pd.DataFrame) -> list[str]:
    if rows["x"].isna().any():
        return ["no motion of dead tokens"]
    row = rows.iloc[0]
    return [
        f"in plane: {row['plane_share']:.1%} ({row['walk_plane_share']:.0%})",
        f"efficiency: {row['efficiency']:.2f} ({row['walk_efficiency']:.2f})",
    ]


def _limits(table: pd.DataFrame) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what both axes must show of all runs."""
    spread = DEVIATIONS * np.sqrt(table[["xx", "yy"]].fillna(0).to_numpy())
    places = table[["x", "y"]].fillna(0).to_numpy()
    lows, highs = (places - spread).min(axis=0), (places + spread).max(axis=0)
    margin = MARGIN * (highs - lows).max() or 1.0
    (left, bottom), (right, top) = lows - margin, highs + margin
    return (left, right), (bottom, top)


def _aspect(limits: tuple[tuple[float, float], tuple[float, float]]) -> float:
    (left, right), (bottom, top) = limits
    return (top - bottom) / (right - left)


def _draw_run(axes: Axes, rows: pd.DataFrame, norm: LogNorm) -> None:
    if rows.empty:
        return
    path = rows[rows["series"] == CENTROID].sort_values("state")
    points = path[["x", "y"]].to_numpy()
    pieces = np.stack([points[:-1], points[1:]], axis=1)
    states = np.maximum(path["state"].to_numpy()[1:], 1)
    look = {"cmap": COLORS, "norm": norm, "linewidth": 2, "zorder": 3}
    axes.add_collection(LineCollection(list(pieces), array=states, **look))
    for row in rows[rows["series"] == CLOUD].to_dict("records"):
        axes.add_patch(_ellipse(row, norm))
    axes.plot(*points[0], "o", color="black", markersize=4, zorder=4)


def _ellipse(row: dict, norm: LogNorm) -> Ellipse:
    """Return the curve DEVIATIONS standard deviations about the centroid."""
    matrix = np.array([[row["xx"], row["xy"]], [row["xy"], row["yy"]]])
    variances, axes = np.linalg.eigh(matrix)
    height, width = 2 * DEVIATIONS * np.sqrt(np.maximum(variances, 0))
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    color = ScalarMappable(norm, COLORS).to_rgba(max(row["state"], 1))
    return Ellipse((row["x"], row["y"]), width, height, angle=angle, fill=False, edgecolor=color)


def _add_scale(figure: Figure, norm: LogNorm) -> None:
    colours = ScalarMappable(norm, COLORS)
    bar = figure.colorbar(colours, ax=figure.axes, label="update", shrink=0.9, aspect=30)
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if norm.vmax < 50 else (1,)))
    bar.ax.yaxis.set_major_formatter(style.THOUSANDS)
    bar.ax.minorticks_off()


def _legend() -> list[tuple[Line2D, str]]:
    start = Line2D([], [], color="black", marker="o", markersize=4, linestyle="none")
    path = Line2D([], [], color=style.NEUTRAL, linewidth=2)
    cloud = Line2D(
        [], [], linestyle="none", marker="o", markersize=9, markerfacecolor="none",
        markeredgecolor=style.NEUTRAL,
    )  # fmt: skip
    return [
        (path, "centroid of the dead tokens"),
        (start, "its start"),
        (cloud, f"the cloud: {DEVIATIONS} standard deviations"),
        (Line2D([], [], linestyle="none"), "in brackets: a random walk with steps as long"),
    ]


RECIPE = recipe_of_runs(
    "path",
    "Path of the dead tokens' centroid",
    "drift.nc",
    NEEDED,
    rows=_rows,
    types=TYPES,
    draw=draw,
)
