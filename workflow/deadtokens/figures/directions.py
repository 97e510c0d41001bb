"""What the directions of the drift are: cosines to directions that mean something.

Above: cosine between the first principal component of four sets of vectors (columns) and directions
that mean something (rows); runs that differ only in their seed are averaged. Components point along
the drift, so a negative cosine to the mean hidden state means motion against it. Grey numbers are
no larger than one random direction in twenty gives, each by itself: of twenty such numbers one is
not grey by chance. Below: the share of the vectors' sum of squares (about zero if raw, about their
mean if centred) that lies along each direction alone, and along the first component itself, which
is the most that one direction can explain; grey: no more than a random direction explains in the
mean. Directions in the rows are not independent of each other, and a cosine is no cause.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import seaborn
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from deadtokens.figures import style
from deadtokens.figures.columns import NAMES, numbers, texts
from deadtokens.figures.runs import Run, described, recipe_of_runs

# what stands above a column of heat maps: source and centring of its first component
PANELS = {
    ("net displacement", "raw"): "net displace-\nments,\nraw",
    ("centroid displacement", "raw"): "centroid's\nsteps,\nraw",
    ("net displacement", "centred"): "net displace-\nments,\ncentred",
    ("final position", "centred"): "final\npositions,\ncentred",
}
COSINE, EXPLAINED = "cosine", "explained_alone"
OWN = "first component itself"
SCALES = {
    COSINE: ("cosine", {"cmap": "PuOr", "vmin": -1, "vmax": 1}),
    EXPLAINED: ("share explained alone", {"cmap": "Greys", "vmin": 0, "vmax": 1}),
}
BY_CHANCE = {"color": "#888888", "path_effects": [withStroke(linewidth=1.5, foreground="white")]}
MOST_COLUMNS_WITH_NUMBERS = 6
LONGEST_NAME = 24  # of a column; if one has more characters, columns are numbered
ROW = 0.17  # inches
NEEDED = ("cosine", "explained_alone", "share", "candidate", "leading", "rank", "dead")
TYPES = NAMES | texts("source", "centring", "quantity", "candidate") | numbers("value", "by_chance")


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield the cosines of the first component of each panel, and the shares explained.

    A ``value`` is that of a ``candidate``: its `COSINE` with the first component, or `EXPLAINED`,
    the share of the variance along it alone; ``by_chance`` is what is exceeded in one of twenty
    random directions (of shares: the mean).
    """
    for run in runs:
        for source, centring in PANELS:
            rows = _of_panel(run.data.sel(source=source, centring=centring))
            yield described(rows.assign(source=source, centring=centring), run)


def _of_panel(data: xr.Dataset) -> pd.DataFrame:
    candidates = data["candidate"].values
    cosines = pd.DataFrame(
        {
            "quantity": COSINE,
            "candidate": candidates,
            "value": data["cosine"].sel(leading=1).values,
            "by_chance": float(data.attrs["chance_cosine"]),
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
    return pd.concat([cosines, shares]).dropna(subset="value")


def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty("no motion of dead tokens")
    groups = list(dict.fromkeys(table["group"]))
    names = [style.as_drawn(group) for group in groups]
    numbered = max(map(len, names)) > LONGEST_NAME
    if numbered:
        names = [str(place) for place in range(1, len(groups) + 1)]
    maps = dict(list(table.groupby("quantity", sort=False)))
    heights = [rows["candidate"].nunique() for rows in maps.values()]
    figure = style.blank(height=(1.1 if numbered else 1.9) + ROW * sum(heights))
    panels = figure.subplots(len(maps), len(PANELS), height_ratios=heights, squeeze=False)
    for line, (quantity, rows) in zip(panels, maps.items(), strict=True):
        label, scale = SCALES[quantity]
        _draw_maps(line, rows, groups, scale)
        figure.colorbar(line[0].collections[0], ax=list(line), label=label, aspect=15)
    for above, below, title in zip(panels[0], panels[-1], PANELS.values(), strict=True):
        above.set_title(title)
        below.set_xticks(np.arange(len(names)) + 0.5, names, rotation=0 if numbered else 90)
    if numbered:
        entries = zip(names, groups, strict=True)
        no_mark = Line2D([], [], linestyle="none")
        style.legend_below(figure, [(no_mark, f"{name}: {group}") for name, group in entries])
    return figure


def _draw_maps(
    panels: Sequence[Axes], rows: pd.DataFrame, groups: list[str], scale: dict[str, object]
) -> None:
    """Draw one quantity, the means over the runs of each group; what chance gives too is grey."""
    candidates = list(dict.fromkeys(rows["candidate"]))
    for axes, (source, centring) in zip(panels, PANELS, strict=True):
        cells = rows[(rows["source"] == source) & (rows["centring"] == centring)]
        values, chance = (
            cells.pivot_table(index="candidate", columns="group", values=name)
            .reindex(index=candidates, columns=groups)
            .astype(float)
            for name in ("value", "by_chance")
        )
        texts = values.map(_written) if len(groups) <= MOST_COLUMNS_WITH_NUMBERS else None
        labels = {"annot": texts, "fmt": "", "annot_kws": {"fontsize": 6}, "cbar": False}
        seaborn.heatmap(values, ax=axes, xticklabels=[], yticklabels=[], **labels, **scale)
        axes.set(xlabel="", ylabel="")
        axes.tick_params(length=0)
        if texts is not None:
            _colour_texts(axes, values.notna().to_numpy(), (values.abs() <= chance).to_numpy())
    names = [style.as_drawn(name, 60) for name in candidates]
    panels[0].set_yticks(np.arange(len(names)) + 0.5, names, rotation=0)


def _colour_texts(axes: Axes, written: np.ndarray, by_chance: np.ndarray) -> None:
    """Make numbers that chance gives too grey, others black or white by the cell they stand in."""
    cells = axes.collections[0].get_facecolors()[written.ravel()]
    for text, cell, is_chance in zip(axes.texts, cells, by_chance[written], strict=True):
        text.set(**BY_CHANCE if is_chance else {"color": style.ink(cell)})


def _written(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−").replace("0.", ".", 1)


RECIPE = recipe_of_runs(
    "directions",
    "What the directions of the drift are",
    "drift.nc",
    NEEDED,
    rows=_rows,
    types=TYPES,
    draw=draw,
    attributes=["chance_cosine"],
)
