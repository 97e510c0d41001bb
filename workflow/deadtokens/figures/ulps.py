"""How many ulps of bfloat16 an update moves tokens, and the wall of half an ulp.

The units are bfloat16's spacing in every regime. Left: steps of bfloat16's grid between a token's
rows before and after, summed over its components, a whole number for each token (bands interpolate
between tokens); a float32 weight counts as the bfloat16 nearest to it, ties to even. Right: the
largest component of its displacement over the spacing at the component's starting point; a
displacement below half of it (red) is lost when bfloat16 rounds to nearest, while float32 weights
can move below it. Lines are medians over the dead tokens, over the live ones (which stood in a
batch of the run) and, where there are any, over those of the text that stood in none; bands hold
the middle 50 % and 90 % of dead and of live ones. Of more than 100 updates bins are drawn: the line
is the median of a bin's medians, and within the bands those parts of the tokens lie at each of its
updates; the shaded strip shows values that are exactly 0. Spikes of a few ten thousand steps are
components that change sign: between a weight and its opposite lie all the numbers of bfloat16 that
are smaller.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.figures import command, style
from deadtokens.figures.axes import LogScaleWithZero, label_updates
from deadtokens.figures.bins import even_starts
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.lines import divergence_entries
from deadtokens.figures.populations import band_entries, draw_bands, quantile_rows
from deadtokens.figures.runs import Run, experiment, longest, open_runs, populations

WALL = 0.5
WALL_COLOR = "#c8102e"
STEPS, LARGEST = "steps of the grid", "largest component"
AXES = {
    STEPS: "steps of bfloat16's grid,\nsummed over components",
    LARGEST: "largest component of the\ndisplacement (bfloat16 ulp)",
}
NEEDED = (
    "ulp_distance_quantile",
    "largest_displacement_in_ulps_quantile",
    "population",
    "quantile",
    "dead",
)
TYPES = {
    **NAMES,
    "series": "str",
    "measure": "str",
    "population": "str",
    "tokens": "Int64",
    "quantile": "float64",
    "update": "int64",
    "last_update": "Int64",
    "ulps": "float64",
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's freezing each: ``ulp_distance_quantile`` over ``update``, ``population``,
        ``norm``, ``grid`` and ``quantile``, ``largest_displacement_in_ulps_quantile`` over
        ``update``, ``population`` and ``quantile``, and ``dead`` over ``token``.

    Returns
    -------
    DataFrame
        One row a quantile and bin of updates: ``group``, ``regime``, ``label``, ``run``,
        ``series``, ``measure``, ``population``, ``tokens`` (in that population), ``quantile``,
        ``update`` and ``last_update``, ``ulps`` (in a bin what `quantile_rows` says), and
        ``diverged_at`` where a diverged run ends. A population without tokens has no rows.
    """
    runs = experiment(datasets)
    starts = even_starts(longest(runs))
    rows = [
        _curves(run, kind, measure, starts)
        for run in runs
        for measure in AXES
        for kind in populations(run)
    ]
    return typed(pd.concat(rows, ignore_index=True), TYPES)


def _curves(run: Run, population: str, measure: str, starts: np.ndarray) -> pd.DataFrame:
    data = run.data.sel(population=population)
    if measure == STEPS:
        quantiles = data["ulp_distance_quantile"].sel(norm="L1", grid="bfloat16")
    else:
        quantiles = data["largest_displacement_in_ulps_quantile"]
    return quantile_rows(run, population, quantiles, "ulps", starts).assign(measure=measure)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = list(dict.fromkeys(table["run"]))
    figure = style.blank(height=0.3 + 1.75 * len(runs))
    panels = figure.subplots(len(runs), 2, sharex=True, sharey="col", squeeze=False)
    scales = {
        measure: LogScaleWithZero.spanning(table.loc[table["measure"] == measure, "ulps"])
        for measure in AXES
    }
    titles = {}
    for row, run in zip(panels, runs, strict=True):
        for axes, (measure, scale) in zip(row, scales.items(), strict=True):
            chosen = (table["run"] == run) & (table["measure"] == measure)
            rows = table[chosen]
            scale.apply(axes)
            draw_bands(axes, rows, "ulps", scale)
            titles[axes] = style.as_drawn(rows["label"].iloc[0], 42)
            axes.set_ylabel(AXES[measure])
            label_updates(axes, table)
            axes.set_xlabel(axes.get_xlabel() if run == runs[-1] else "")
        row[1].axhline(WALL, color=WALL_COLOR, linewidth=0.8)
    style.set_titles(figure, titles)
    wall = (Line2D([], [], color=WALL_COLOR, linewidth=0.8), "half an ulp: bfloat16's wall")
    zero = scales[STEPS].entries() or scales[LARGEST].entries()
    entries = [*band_entries(table), wall, *zero, *divergence_entries(table)]
    style.legend_below(figure, entries)
    return figure


RECIPE = command.Recipe(
    name="ulps",
    title="Motion in ulps of bfloat16",
    inputs="freezing.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
