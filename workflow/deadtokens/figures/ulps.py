"""How many ulps of bfloat16 an update moves tokens, and the wall of half an ulp.

The units are bfloat16's spacing in every regime. Left: steps of bfloat16's grid between a token's
rows before and after, summed over its components, a whole number for each token (bands interpolate
between tokens); a float32 weight counts as the bfloat16 nearest to it, ties to even. Right: the
largest component of its displacement over the spacing at the component's starting point; a
displacement below half of it (red) is lost when bfloat16 rounds to nearest, while float32 weights
can move below it. Lines are medians over the dead tokens, over the live ones (which stood in a
batch of the run) and, where there are any, over those of the text that stood in none; bands hold
the middle 50 % and 90 % of the dead and of the live tokens of one run, and say nothing of other
seeds. Of more than 100 updates bins are drawn: the line is the median of a bin's medians, and
within the bands those parts of the tokens lie at each of its updates; the shaded strip shows values
that are exactly 0. Spikes of a few ten thousand steps are components that change sign: between a
weight and its opposite lie all the numbers of bfloat16 that are smaller.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from deadtokens.figures.axes import LogScaleWithZero
from deadtokens.figures.bins import even_starts
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, of_runs
from deadtokens.figures.populations import (
    band_entries,
    draw_bands,
    quantile_rows,
    quantile_types,
)
from deadtokens.figures.runs import Run, longest, populations

WALL = 0.5
RED = {"color": "#c8102e", "linewidth": 0.8}
STEPS, LARGEST = "steps of the grid", "largest component"
LABELS = {
    STEPS: "steps of bfloat16's grid,\nsummed over components",
    LARGEST: "largest component of the\ndisplacement (bfloat16 ulp)",
}
TYPES = quantile_types("ulps", "measure")


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    starts = even_starts(longest(runs))
    for run in runs:
        for measure in LABELS:
            for population in populations(run):
                quantiles = _quantiles(run.data.sel(population=population), measure)
                for rows in quantile_rows(run, population, quantiles, "ulps", starts):
                    yield rows.assign(measure=measure)


def _quantiles(data: xr.Dataset, measure: str) -> xr.DataArray:
    if measure == STEPS:
        return data["ulp_distance_quantile"].sel(norm="L1", grid="bfloat16")
    return data["largest_displacement_in_ulps_quantile"]


def _scale(table: pd.DataFrame, measure: str) -> LogScaleWithZero:
    return LogScaleWithZero.spanning(table.loc[table["measure"] == measure, "ulps"])


def _panels(table: pd.DataFrame) -> list[Panel]:
    panels = []
    for label, rows in of_runs(table, 42):
        for measure, ylabel in LABELS.items():
            scale = _scale(table, measure)
            placed = scale.place_rows(rows[rows["measure"] == measure], "ulps")
            panels.append(Panel(placed, label, ylabel, scale.apply))
    return panels


def _draw_lines(axes: Axes, rows: pd.DataFrame, _: Strokes) -> None:
    draw_bands(axes, rows, "ulps")
    if (rows["measure"] == LARGEST).any():
        axes.axhline(WALL, **RED)


def _entries(table: pd.DataFrame, _: Strokes) -> Entries:
    wall = (Line2D([], [], **RED), "half an ulp: bfloat16's wall")
    zero = _scale(table, STEPS).entries() or _scale(table, LARGEST).entries()
    return [*band_entries(table), wall, *zero]


FIGURE = PanelFigure(
    column="ulps",
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    by="population",
    entries=_entries,
    columns=lambda number: 2,
    height=1.75,
    margin=0.3,
    sharey="col",
)
RECIPE = FIGURE.recipe(
    "ulps",
    "Motion in ulps of bfloat16",
    "freezing.nc",
    [
        "ulp_distance_quantile",
        "largest_displacement_in_ulps_quantile",
        "population",
        "quantile",
        "dead",
    ],
)
