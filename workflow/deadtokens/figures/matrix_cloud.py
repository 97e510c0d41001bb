"""Where the unused rows of matrices lie, and whether that is what training dynamics make of them.

Each line is a matrix; its cloud are the rows known to be unused, or else those that share their
bits. From left to right: the cloud in its principal plane, with others as near to its centroid; all
rows' distances from that over its radius, with a Gaussian cloud's shell; its centroid's components
over those of the others' centroid; its deviation in each, in units of the format: left of 1, rows
that differed are the same.

Known to be unused are the dead tokens of a recorded training, reserved rows, and those beyond a
tokenizer. What is carried as a whole keeps the shape of its Gaussian start: the shell would hold
95 % of the rows if the cloud were Gaussian with its radius and effective dimension. The plane
leaves out those few rows that are farthest out, and others that only seem near in it; what lies on
the centroid itself is in the lowest bin of the distances. Units are ulps, or steps of a
quantization.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator

from deadtokens.figures import command, matrices, style
from deadtokens.figures.axes import label_powers
from deadtokens.figures.columns import numbers, texts, typed
from deadtokens.figures.matrices import KNOWN, OTHER, POPULATIONS, SUSPECT
from deadtokens.matrices.cloud import INSIDE, others_within, rows_of_cloud
from deadtokens.matrices.cloud import VARIABLES as OF_CLOUDS

PLANE, DISTANCE, CENTROIDS, UNITS = PANELS = "plane", "distance", "centroids", "units"
MOST = 2000  # rows drawn of each kind in a plane
VIEW = 1.3  # how far a plane reaches, over the largest coordinate of most of the cloud's rows
MOST_OF_CLOUD = 0.98
BINS_OF_DISTANCES, BINS_OF_UNITS = 60, 25
CLOUD = POPULATIONS[KNOWN].color
MARKS = {
    KNOWN: {"color": CLOUD, "markersize": 1.6},
    OTHER: {"color": POPULATIONS[SUSPECT].color, "markersize": 2.4},
}
SHELL = {"color": "#2879b5", "alpha": 0.25, "linewidth": 0}
HEIGHT = 1.9  # inches, of a line of panels with a heading of two lines
HEADING = {"fontsize": 7.5, "fontweight": "normal"}
NOTHING = "no rows of these matrices are known to be unused, and none share their bits"
SCALARS = tuple(name for name, (dims, *_) in OF_CLOUDS.items() if not dims)
TYPES = (
    matrices.OF_A_MATRIX
    | numbers(*SCALARS)
    | texts("panel", "population")
    | numbers("x", "y", "lower", "upper")
    | {"count": "Int64", "share": "float64"}
)


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        As `deadtokens.matrices.examine` makes them.

    Returns
    -------
    DataFrame
        Of each matrix that has a cloud the numbers of that, and for each `panel`: in the ``plane``
        the places ``x``, ``y`` of rows of the cloud, and of others that are as near; MOST of each
        kind, evenly chosen; of each ``distance`` over the radius, from ``lower`` to ``upper``, the
        rows as a ``count`` and a ``share`` of their kind; of the ``centroids`` each component, that
        of the other rows as ``x``, the cloud's as ``y``; of the ``units`` the components in each
        bin as a ``count``.
    """
    parts = [_of_matrix(data) for data in datasets if "cloud_radius" in data]
    return typed(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), TYPES)


def _of_matrix(data: xr.Dataset) -> pd.DataFrame:
    _, about = matrices.about([data])
    of_cloud = rows_of_cloud(data["known"].values, data["reference"].values)
    parts = {
        PLANE: _places(data, of_cloud),
        DISTANCE: _distances(data, of_cloud),
        CENTROIDS: pd.DataFrame({"x": data["other_centroid"], "y": data["cloud_centroid"]}),
        UNITS: _units(data),
    }
    rows = pd.concat([rows.assign(panel=name) for name, rows in parts.items()])
    rows = rows.fillna({"population": ""})  # of components, which are of no kind of rows
    return rows.assign(**about, **{name: data[name].item() for name in SCALARS})


def _places(data: xr.Dataset, of_cloud: np.ndarray) -> pd.DataFrame:
    plane = data["plane"].values
    drawn = {KNOWN: of_cloud & np.isfinite(plane).all(1), OTHER: others_within(data)}
    parts = []
    for name, chosen in drawn.items():
        some = plane[_evenly(np.flatnonzero(chosen))]
        parts.append(pd.DataFrame({"x": some[:, 0], "y": some[:, 1], "population": name}))
    return pd.concat(parts)


def _evenly(rows: np.ndarray) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST)).astype(int)]


def _distances(data: xr.Dataset, of_cloud: np.ndarray) -> pd.DataFrame:
    radius = data["cloud_radius"].item()
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = data["to_centroid"].values.astype(np.float64) / radius
    kinds = {OTHER: relative[~of_cloud], KNOWN: relative[of_cloud]}
    edges = _edges(relative, BINS_OF_DISTANCES)
    return pd.concat(
        _counted(values, edges).assign(population=name) for name, values in kinds.items()
    )


def _units(data: xr.Dataset) -> pd.DataFrame:
    values = data["cloud_units"].values
    return _counted(values[values > 0], _edges(np.append(values, 1), BINS_OF_UNITS))


def _edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the edges of bins of one width on a logarithmic axis that hold all positive values."""
    positive = values[np.isfinite(values) & (values > 0)]
    return 10 ** matrices.binned(np.log10(positive), bins) if len(positive) else np.array([1.0, 2])


def _counted(values: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    """Return how many values are in each bin; those of 0, which has no place, in the lowest."""
    finite = values[np.isfinite(values)]
    count = np.histogram(finite.clip(edges[0], edges[-1]), edges)[0]  # whose ends are rounded
    share = count / max(len(values), 1)
    return pd.DataFrame({"lower": edges[:-1], "upper": edges[1:], "count": count, "share": share})


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty(NOTHING)
    of_each = [rows for _, rows in table.groupby(list(matrices.OF_A_MATRIX), sort=False)]
    headings = [_heading(rows.iloc[0]) for rows in of_each]
    heights = [HEIGHT + style.LINE_HEIGHT * _lines_beyond(heading) for heading in headings]
    figure = style.blank(height=0.3 + sum(heights))
    lines = figure.subfigures(len(of_each), 1, squeeze=False, height_ratios=heights)[:, 0]
    for place, rows, heading in zip(lines, of_each, headings, strict=True):
        panels = dict(zip(PANELS, place.subplots(1, len(PANELS)), strict=True))
        for name, axes in panels.items():
            DRAW[name](axes, rows[rows["panel"] == name])
        place.suptitle(heading, x=0.01, ha="left", **HEADING)
    style.legend_below(figure, _entries())
    return figure


def _heading(row: pd.Series) -> str:
    size = f"{row['vocabulary_size']:,} × {row['width']:,} values"
    whose = "known to be unused" if row["known_tokens"] else "that share their bits"
    cloud = f"cloud: the {row['cloud_tokens']:,.0f} rows {whose}, radius {row['cloud_radius']:.2g}"
    said = f"{row['model']}: {row['matrix']}, {row['format']}, {size}; {cloud}"
    return style.as_drawn(said, style.CHARACTERS_PER_LINE["title"])


def _lines_beyond(heading: str) -> int:
    """Return for how many lines of a heading a line of panels has no room."""
    return max(heading.count("\n") - 1, 0)


def _draw_plane(axes: Axes, rows: pd.DataFrame) -> None:
    for name, of_kind in rows.groupby("population", sort=False):
        axes.plot(of_kind["x"], of_kind["y"], linestyle="", marker="o", mew=0, **MARKS[name])
    farthest = rows.loc[rows["population"] == KNOWN, ["x", "y"]].abs().max(axis=1)
    reach = VIEW * farthest.quantile(MOST_OF_CLOUD) or 1
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.set(xlabel="1st axis [weight]", ylabel="2nd axis [weight]")
    _label_few(axes)
    if beyond := int((rows[["x", "y"]].abs().max(axis=1) > reach).sum()):
        axes.set_title(f"{beyond:,} farther out", fontsize=7)


def _label_few(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(3, symmetric=True))
        axis.set_major_formatter("{x:.3g}")


def _draw_distances(axes: Axes, rows: pd.DataFrame) -> None:
    first = rows.iloc[0]
    if radius := first["cloud_radius"]:
        axes.axvspan(first["shell_low"] / radius, first["shell_high"] / radius, **SHELL)
    for name, bins in rows.groupby("population", sort=False):
        look = {"fill": True, "linewidth": 0} if name == OTHER else {"linewidth": 1}
        edges = [*bins["lower"], bins["upper"].iloc[-1]]
        axes.stairs(100 * bins["share"], edges, color=POPULATIONS[name].color, **look)
    label_powers(axes, "x")
    axes.set(xlabel="distance / radius", ylabel="rows [%]")
    inside = f"{100 * first['shell_of_cloud']:.1f} % in the shell"
    axes.set_title(f"{inside},\n{first['shell_of_others']:,.0f} others no farther", fontsize=7)


def _draw_centroids(axes: Axes, rows: pd.DataFrame) -> None:
    axes.plot(rows["x"], rows["y"], linestyle="", marker="o", mew=0, color=CLOUD, markersize=1.8)
    axes.axhline(0, **style.DOTTED)
    axes.axvline(0, **style.DOTTED)
    axes.set(xlabel="others' centroid", ylabel="cloud's centroid")
    _label_few(axes)
    axes.set_title(f"cosine {rows['cloud_cosine'].iloc[0]:.2f}", fontsize=7)


def _draw_units(axes: Axes, rows: pd.DataFrame) -> None:
    edges = [*rows["lower"], rows["upper"].iloc[-1]]
    axes.stairs(rows["count"].astype("float64"), edges, color=CLOUD, fill=True, linewidth=0)
    label_powers(axes, "x")
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.axvline(1, **style.DOTTED)
    unlike = int(rows["count"].sum())
    axes.set(xlabel="deviation [units]", ylabel="components")
    if alike := rows["width"].iloc[0] - unlike:
        axes.set_title(f"0 in {alike:,} component{'s' if alike > 1 else ''}", fontsize=7)


DRAW = {
    PLANE: _draw_plane,
    DISTANCE: _draw_distances,
    CENTROIDS: _draw_centroids,
    UNITS: _draw_units,
}


def _entries() -> list[tuple[object, str]]:
    dots = {"linestyle": "", "marker": "o", "markersize": 3}
    return [
        (Line2D([], [], color=CLOUD, **dots), "rows of the cloud"),
        (Line2D([], [], color=MARKS[OTHER]["color"], **dots), "other rows, no farther away"),
        (Patch(color=POPULATIONS[OTHER].color), "all other rows"),
        (Patch(**SHELL), f"{INSIDE:.0%} of a Gaussian cloud's rows"),
    ]


RECIPE = command.Recipe(
    name="matrix_cloud",
    title="The clouds of unused rows",
    inputs=f"{matrices.FILE}, or of several",
    open=matrices.opener("known", "reference"),
    table=table,
    draw=draw,
)
