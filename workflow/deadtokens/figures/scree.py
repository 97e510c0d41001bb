"""How much of the drift each principal component explains, against chance.

Drawn is the share that each principal component explains: of the dead tokens' net displacements,
raw (of their mean square about zero: a common drift is a component) and centred (of their variance
about their mean: what tokens do differently), of the centroid's displacements by single updates, of
its positions at all states, its path, and of the final positions within the cloud. A dash at the
first component of raw vectors is the share that their mean alone explains: as much of it is the
common motion itself and no finding. The shaded band of a line is a 95 % bootstrap over tokens of
the run, corrected for the bias of resampling: where no component stands out it lies below the line.
The grey strip is what vectors of the same lengths in random directions give; of a path, what random
walks give whose steps are as long as the centroid's: of any long walk the k-th component explains
about 6 / (pi k)^2. A component counts as more than chance if its band (of a path, its share) lies
above that, and those before it too, which keeps the error of a whole panel of one run at that of
one test; as shares sum to 1, behind a dominant component the count is cautious. Shares below 0.0001
are not drawn. A large share says that there is one direction, not what it is.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import style
from deadtokens.figures.columns import NAMES, numbers, texts
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, run_entries
from deadtokens.figures.runs import Run, described

PATH = "centroid position"
PANELS = {
    ("net displacement", "raw"): "net displacements, raw",
    ("net displacement", "centred"): "net displacements, centred",
    ("centroid displacement", "raw"): "the centroid's steps, raw",
    (PATH, "centred"): "the centroid's path, centred",
    ("final position", "centred"): "final positions, centred",
}
OF = {"raw": "mean square", "centred": "variance"}
COMPONENTS = 10
LOWEST = 1e-4
NEEDED = (
    *("share", "share_band", "null_share", "components_above_null", "rank", "dead"),
    *("common_share", "path_share", "walk_share", "path_components_above_walk"),
)
COMMON = {"linestyle": "", "marker": "_", "markersize": 14, "markeredgewidth": 1.2, "zorder": 2}
NULL = {"color": "#d9d9d9", "linewidth": 0}
TYPES = (
    NAMES
    | texts("series", "source", "centring")
    | {"component": "int64"}
    | numbers("share", "low", "high", "null_low", "null_high")
    | {"above_null": "int64"}
    | numbers("common")
)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    for run in runs:
        for source, centring in PANELS:
            rows = _of_path(run) if source == PATH else _shares(run, source, centring)
            if len(rows):
                yield described(rows.assign(series="run", source=source, centring=centring), run)


def _shares(run: Run, source: str, centring: str) -> pd.DataFrame:
    """Return a row a component; none where nothing has a variance."""
    data = run.data[[*NEEDED]].sel(source=source, centring=centring)
    shares = {
        "share": data["share"],
        "low": data["share_band"][:, 0],
        "high": data["share_band"][:, 1],
        "null_low": data["null_share"][:, 0],
        "null_high": data["null_share"][:, -1],
    }
    rows = _components(data, shares, "components_above_null")
    common = (rows["component"] == 1) & (centring == "raw")
    return rows.assign(common=np.where(common, float(data["common_share"]), np.nan))


def _of_path(run: Run) -> pd.DataFrame:
    """Return the same of the centroid's positions, against random walks and without a band."""
    data = run.data[[*NEEDED]]
    shares = {
        "share": data["path_share"],
        "null_low": data["walk_share"][:, 0],
        "null_high": data["walk_share"][:, -1],
    }
    return _components(data, shares, "path_components_above_walk")


def _components(
    data: xr.Dataset, shares: Mapping[str, xr.DataArray], above_null: str
) -> pd.DataFrame:
    rows = pd.DataFrame({"component": data["rank"], **shares, "above_null": int(data[above_null])})
    return rows[:COMPONENTS].dropna(subset="share")


def _panels(table: pd.DataFrame) -> list[Panel]:
    panels = []
    for (source, centring), title in PANELS.items():
        rows = table[(table["source"] == source) & (table["centring"] == centring)]
        panels.append(
            Panel(rows, f"{title}\n{_above(rows)}", f"share of the {OF[centring]}", _scale)
        )
    return panels


def _above(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "no variance"
    counts = rows.groupby("run", sort=False)["above_null"].first()
    number = style.number_of(counts)
    return f"more than chance: {number} leading component{'s' if number != '1' else ''}"


def _scale(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_ylim(LOWEST, 1.4)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def _label_components(axes: Axes, _: pd.DataFrame) -> None:
    axes.set_xlabel("principal component")
    axes.set_xticks(range(1, COMPONENTS + 1))
    axes.set_xlim(0.6, COMPONENTS + 0.4)


def _draw_lines(axes: Axes, rows: pd.DataFrame, strokes: Strokes) -> None:
    _draw_null(axes, rows)
    for (group, _), line in rows.groupby(["group", "run"], sort=False):
        _draw_run(axes, line[line["share"] > LOWEST], strokes[group])


def _draw_null(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the null of all runs together: from the lowest lower end to the highest upper one."""
    ends = rows.groupby("component").agg({"null_low": "min", "null_high": "max"})
    lows, highs = (np.maximum(ends[name], LOWEST) for name in ("null_low", "null_high"))
    axes.fill_between(ends.index, lows, highs, **NULL, zorder=0)


def _draw_run(axes: Axes, shown: pd.DataFrame, stroke: style.Stroke) -> None:
    low, high = shown["low"].clip(LOWEST), shown["high"].clip(LOWEST)
    axes.fill_between(shown["component"], low, high, color=stroke.color, alpha=0.25, linewidth=0)
    look = stroke.line() | {"marker": stroke.marker or "o", "markersize": 3, "zorder": 3}
    axes.plot(shown["component"], shown["share"], **look)
    axes.plot(shown["component"], shown["common"], color=stroke.color, **COMMON)


def _entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    null = (Patch(**NULL), "same lengths, random directions (95 %)")
    common = (Line2D([], [], color=style.NEUTRAL, **COMMON), "the mean alone")
    return [*run_entries(table, strokes), null, common]


FIGURE = PanelFigure(
    column="share",
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    label_x=_label_components,
    entries=_entries,
    columns=lambda number: 2,
    height=2.2,
    sharey=False,
    nothing="no motion of dead tokens",
)
RECIPE = FIGURE.recipe(
    "scree", "Principal components of the dead tokens' drift", "drift.nc", NEEDED
)
