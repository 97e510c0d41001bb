"""The gradient's way back through the blocks, and by which path it reaches the input.

Drawn is the first run of each setting, of at most three settings. Left: the run's last checkpoint,
on the batch that would come next. The loss is above, the rows of the input tokens are below. The
width of an arrow is in proportion to the norm of the gradient that it carries, over all positions
of the batch (the thinnest stand for less); the number is that norm, in nats. At each residual sum
the branch, MLP or attention, gets a copy of what goes straight on, and what comes back through it
is added; the cosine tells how far the two agree. Where a run has no residual path around the MLPs,
all passes through them; where the spread of its logits is held constant, the error of each position
is multiplied by the factor that does it. Right: the share of each path in the gradient that the
input rows receive, along that gradient, at the start and at each checkpoint; shares sum to 1, and a
path that opposes the sum is negative. *Last through MLP 1*: all that passed other branches or none
before, then the MLP of block 1, and from there the residual path alone. What a tied matrix receives
as output is no part of it. Norms of tensors of different kinds (logits z, hidden states h and x) do
not compare as amounts of one thing. Computed by hand in float64, and compared with autograd in
``backprop.csv``.
"""

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from deadtokens.figures import flowchart, style
from deadtokens.figures.columns import NAMES, numbers, texts
from deadtokens.figures.runs import Run, described, recipe_of_runs
from deadtokens.run.spec import LATER

VARIABLES = (
    *("norm", "output_norm", "cosine", "share"),
    *("block", "output", "stream", "branch", "path"),
)
MOST_RUNS = 3
ENDS = {
    "residual path": ["#222222"],
    "MLP": ["#7a2f00", "#f0a860"],
    "attention": ["#0d3b66", "#7fb8e6"],
}
DASHES = {"residual path": (), "MLP": (5, 1.5), "attention": (1.5, 1)}
TYPES = (
    NAMES
    | texts("status")
    | {"state": "int64"}
    | texts("quantity")
    | {"block": "int64"}
    | texts("name")
    | numbers("value")
)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield the numbers of the first run of each of the first settings.

    A ``value`` is a ``quantity`` (norm, cosine, share) of the stream, branch or path ``name`` of a
    ``block`` (0: outside the blocks). Norms and cosines are those of the last state.
    """
    firsts = {run.group: run for run in reversed(runs)}
    for group in list(dict.fromkeys(run.group for run in runs))[:MOST_RUNS]:
        data = firsts[group].data
        yield described(_numbers(data), firsts[group]).assign(status=data.attrs["status"])


def _numbers(data: xr.Dataset) -> pd.DataFrame:
    last = data.isel(state=[-1])
    named = [
        ("norm", last["output_norm"].rename(output="name").expand_dims(block=[0])),
        ("norm", last["norm"].rename(stream="name")),
        ("cosine", last["cosine"].sel(branch=_with_a_way_past(data)).rename(branch="name")),
    ]
    frames = [
        values.rename("value").to_dataframe().reset_index().assign(quantity=quantity)
        for quantity, values in named
    ]
    return pd.concat([*frames, _shares(data["share"])])


def _with_a_way_past(data: xr.Dataset) -> list[str]:
    """Return the branches that a residual path leads past."""
    around_mlp = json.loads(data.attrs["spec"]).get("mlp_residual", LATER["mlp_residual"])
    return [branch for branch in data["branch"].values if around_mlp or branch != "MLP"]


def _shares(share: xr.DataArray) -> pd.DataFrame:
    rows = share.rename("value").to_dataframe().reset_index().assign(quantity="share")
    split = rows["path"].str.extract(r"^(?P<name>.*?)(?: (?P<block>\d+))?$")
    return rows.drop(columns="path").assign(
        name=split["name"], block=split["block"].fillna("0").astype(int)
    )


def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = [rows for _, rows in table.groupby("run", sort=False)]
    heights = [flowchart.height(rows["block"].max()) for rows in runs]
    figure = style.blank(sum(heights))
    panels = figure.subplots(len(runs), 2, squeeze=False, height_ratios=heights)
    colors = path_colors(table["block"].max())
    shares = table[table["quantity"] == "share"]
    limits = _limits(shares["value"])
    titles = {
        chart: style.as_drawn(_title(rows), 56)
        for rows, (chart, _) in zip(runs, panels, strict=True)
    }
    style.set_titles(figure, titles)
    for rows, (chart, lines) in zip(runs, panels, strict=True):
        flowchart.draw(chart, rows[rows["quantity"] != "share"], colors)
        _draw_shares(lines, shares.loc[shares.index.intersection(rows.index)], colors, limits)
    style.legend_below(figure, _legend(colors))
    return figure


def _title(rows: pd.DataFrame) -> str:
    """Return the run's name and the state drawn."""
    about = rows.iloc[0]
    status = ", diverged" if about["status"] == "diverged" else ""
    return f"{about['label']}, state {rows['state'].max():,}{status}"


def _limits(values: pd.Series) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = min(0, finite.min()), max(1, finite.max())
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def path_colors(layers: int) -> dict[tuple[str, int], str]:
    """Give each path its colour, by the branch passed last and its block: later is darker."""
    colors = {("residual path", 0): ENDS["residual path"][0]}
    for branch in ("MLP", "attention"):
        shades = style.shades(ENDS[branch], max(2, layers))
        colors |= {(branch, layers - place): shades[place] for place in range(layers)}
    return colors


def _draw_shares(
    axes: Axes,
    rows: pd.DataFrame,
    colors: dict[tuple[str, int], str],
    limits: tuple[float, float],
) -> None:
    axes.axhline(0, color=style.NEUTRAL, linewidth=0.5)
    for path, color in colors.items():
        line = rows[(rows["name"] == path[0]) & (rows["block"] == path[1])]
        axes.plot(line["state"], line["value"], **_stroke(path, color))
    last = max(1, rows["state"].max())
    axes.set_xlim(-0.03 * last, 1.03 * last)
    axes.set_ylim(limits)
    axes.set_xlabel("state (updates applied)")
    axes.set_ylabel("share of the gradient of the input rows")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(style.THOUSANDS)


def _stroke(path: tuple[str, int], color: str) -> dict:
    return style.Stroke(color, DASHES[path[0]]).line() | {"marker": "o", "markersize": 3}


def _legend(colors: dict[tuple[str, int], str]) -> list[tuple[Line2D, str]]:
    return [
        (Line2D([], [], **_stroke(path, color)), _entry(*path)) for path, color in colors.items()
    ]


def _entry(name: str, block: int) -> str:
    return f"last through {name} {block}" if block else "residual path only"


RECIPE = recipe_of_runs(
    "gradient_flow",
    "The gradient's way back",
    "backprop.nc",
    VARIABLES,
    rows=_rows,
    types=TYPES,
    draw=draw,
    axis="state",
)
