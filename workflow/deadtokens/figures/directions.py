"""What the directions of the drift are: cosines to directions that mean something.

Above: cosine between the first principal component of four sets of vectors (columns) and directions
that mean something (rows); runs that differ only in their seed are averaged. Components point along
the drift, so a negative cosine to the mean hidden state means motion against it. Grey numbers are
no larger than one random direction in twenty gives. Below: the share of the vectors' sum of squares
(about zero if raw, about their mean if centred) that lies along each direction alone, and along the
first component itself, which is the most that one direction can explain; grey: no more than a
random direction explains in the mean. Directions in the rows are not independent of each other, and
a cosine is no cause.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from deadtokens.figures import command, style
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.runs import Run, described, experiment, open_runs

# what stands above a column of heat maps: source and centring of its first component
PANELS = {
    ("net displacement", "raw"): "net displace-\nments,\nraw",
    ("centroid displacement", "raw"): "centroid's\nsteps,\nraw",
    ("net displacement", "centred"): "net displace-\nments,\ncentred",
    ("final position", "centred"): "final\npositions,\ncentred",
}
COSINE, EXPLAINED = "cosine", "explained_alone"
OWN = "first component itself"
SCALES = {COSINE: ("PuOr", -1, 1), EXPLAINED: ("Greys", 0, 1)}
MOST_COLUMNS_WITH_NUMBERS = 6
LONGEST_NAME = 24  # of a column; if one has more characters, columns are numbered
ROW = 0.17  # inches
NEEDED = ("cosine", "explained_alone", "share", "candidate", "leading", "rank", "dead")
TYPES = {
    **NAMES,
    "source": "str",
    "centring": "str",
    "quantity": "str",
    "candidate": "str",
    "value": "float64",
    "by_chance": "float64",
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
        One row a run, panel and candidate: ``group``, ``regime``, ``label``, ``run``, ``source``,
        ``centring``, ``quantity`` (`COSINE` of the first component with the candidate, or
        `EXPLAINED`, the share of the variance along it alone), ``candidate``, ``value`` and what
        is exceeded ``by_chance`` in one of twenty random directions (of shares: the mean).
    """
    runs = experiment(datasets)
    rows = pd.concat([_rows(run, *panel) for run in runs for panel in PANELS], ignore_index=True)
    rows = rows.dropna(subset="value", ignore_index=True)
    return typed(rows, TYPES)


def _rows(run: Run, source: str, centring: str) -> pd.DataFrame:
    data = run.data[list(NEEDED[:3])].sel(source=source, centring=centring)
    candidates = data["candidate"].values
    cosines = pd.DataFrame(
        {
            "quantity": COSINE,
            "candidate": candidates,
            "value": data["cosine"].sel(leading=1).values,
            "by_chance": float(run.data.attrs["chance_cosine"]),
        }
    )
    shares = pd.DataFrame(
        {
            "quantity": EXPLAINED,
            "candidate": [OWN, *candidates],
            "value": [float(data["share"].sel(rank=1)), *data["explained_alone"].values],
            "by_chance": 1 / data.sizes["rank"],
        }
    )
    return described(pd.concat([cosines, shares]).assign(source=source, centring=centring), run)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty("no motion of dead tokens")
    groups = list(dict.fromkeys(table["group"]))
    rows = {name: list(dict.fromkeys(part["candidate"])) for name, part in _parts(table)}
    names = [style.as_drawn(group) for group in groups]
    numbered = max(map(len, names)) > LONGEST_NAME
    if numbered:
        names = [str(place) for place in range(1, len(groups) + 1)]
    heights = [len(lines) for lines in rows.values()]
    figure = style.blank(height=(1.1 if numbered else 1.9) + ROW * sum(heights))
    panels = figure.subplots(2, len(PANELS), height_ratios=heights, squeeze=False)
    for line, (quantity, part) in zip(panels, _parts(table), strict=True):
        for axes, (panel, title) in zip(line, PANELS.items(), strict=True):
            chosen = part[(part["source"] == panel[0]) & (part["centring"] == panel[1])]
            cells = _draw_map(axes, chosen, rows[quantity], groups, SCALES[quantity])
            axes.set_title(title if quantity == COSINE else "")
            axes.set_xticks(_middles(groups), names, rotation=0 if numbered else 90)
            axes.tick_params(labelbottom=quantity == EXPLAINED, labelleft=axes is line[0], length=0)
        label = {COSINE: "cosine", EXPLAINED: "share explained alone"}[quantity]
        figure.colorbar(cells, ax=list(line), label=label, aspect=15)
    if numbered:
        style.legend_below(
            figure, [(_no_mark(), f"{n}: {g}") for n, g in zip(names, groups, strict=True)]
        )
    return figure


def _parts(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(name, table[table["quantity"] == name]) for name in (COSINE, EXPLAINED)]


def _no_mark() -> Line2D:
    return Line2D([], [], linestyle="none")


def _draw_map(
    axes: Axes,
    part: pd.DataFrame,
    rows: list[str],
    groups: list[str],
    scale: tuple[str, float, float],
) -> QuadMesh:
    """Draw the means over the runs of each group; numbers that chance gives too are grey."""
    values, chance = (
        part.pivot_table(index="candidate", columns="group", values=name)
        .reindex(index=rows, columns=groups)
        .astype(float)
        for name in ("value", "by_chance")
    )
    colours, low, high = scale
    labels = {"xticklabels": False, "yticklabels": False, "cbar": False}
    seaborn.heatmap(values, ax=axes, cmap=colours, vmin=low, vmax=high, **labels)
    axes.set(xlabel="", ylabel="")
    axes.set_yticks(_middles(rows), [style.as_drawn(name, 60) for name in rows])
    if len(groups) <= MOST_COLUMNS_WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                beyond_chance = abs(value) > chance.iloc[row, column]
                _write_number(axes, row + 0.5, column + 0.5, value, beyond_chance)
    return axes.collections[0]


def _middles(cells: Sequence[str]) -> np.ndarray:
    return np.arange(len(cells)) + 0.5


def _write_number(axes: Axes, row: float, column: float, value: float, beyond_chance: bool) -> None:
    color = "#888888" if not beyond_chance else "white" if abs(value) > 0.6 else "black"
    text = f"{round(value, 2) + 0.0:.2f}".replace("-", "−").replace("0.", ".", 1)
    halo = [] if beyond_chance else [withStroke(linewidth=1.5, foreground="white")]
    where = {"ha": "center", "va": "center", "fontsize": 6}
    axes.text(column, row, text, color=color, path_effects=halo, **where)


RECIPE = command.Recipe(
    name="directions",
    title="What the directions of the drift are",
    inputs="drift.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED, attributes=["chance_cosine"]),
    table=table,
    draw=draw,
)
