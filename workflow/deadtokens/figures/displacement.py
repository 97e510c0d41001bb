"""How far one update moves a token, as quantiles over dead and over live tokens.

Drawn is the displacement, the L2 norm of W[t] - W[t-1]. Lines are medians over the dead tokens,
over the live ones (which stood in a batch of the run) and, where there are any, over those that
occur in the text but stood in none; bands hold the middle 50 % and the middle 90 % of dead and of
live ones. Of more than 100 updates bins are drawn: the line is the median of a bin's medians, and
within the bands those parts of the tokens lie at each of its updates. The axis is logarithmic down
to the shaded strip, which shows displacements that are exactly 0: where the median lies in it, at
least half of the tokens did not move.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import command, style
from deadtokens.figures.axes import LogScaleWithZero, grid, label_updates
from deadtokens.figures.bins import even_starts
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.lines import divergence_entries
from deadtokens.figures.populations import band_entries, draw_bands, quantile_rows
from deadtokens.figures.runs import Run, experiment, longest, open_runs, populations

NEEDED = ("displacement_quantile", "population", "quantile", "dead")
TYPES = {
    **NAMES,
    "series": "str",
    "population": "str",
    "tokens": "Int64",
    "quantile": "float64",
    "update": "int64",
    "last_update": "Int64",
    "displacement": "float64",
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's freezing each: ``displacement_quantile`` over ``update``, ``population`` and
        ``quantile``, and ``dead`` over ``token``.

    Returns
    -------
    DataFrame
        One row a quantile and bin of updates: ``group``, ``regime``, ``label``, ``run``,
        ``series``, ``population``, ``tokens`` (in that population), ``quantile``, ``update`` and
        ``last_update``, ``displacement`` (L2 norm, zeros as they are; in a bin what
        `quantile_rows` says), and ``diverged_at`` where a diverged run ends. A population without
        tokens has no rows.
    """
    runs = experiment(datasets)
    starts = even_starts(longest(runs))
    rows = [_curves(run, kind, starts) for run in runs for kind in populations(run)]
    return typed(pd.concat(rows, ignore_index=True), TYPES)


def _curves(run: Run, population: str, starts: np.ndarray) -> pd.DataFrame:
    quantiles = run.data["displacement_quantile"].sel(population=population)
    return quantile_rows(run, population, quantiles, "displacement", starts)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = list(dict.fromkeys(table["run"]))
    columns = 2 if len(runs) == 4 else min(len(runs), 3)
    drawing = grid(len(runs), columns, height=2.0, margin=0.4)
    scale = LogScaleWithZero.spanning(table["displacement"])
    titles = {}
    for axes, run in zip(drawing.panels, runs, strict=True):
        rows = table[table["run"] == run]
        titles[axes] = style.as_drawn(rows["label"].iloc[0], 84 // columns)
        scale.apply(axes)
        draw_bands(axes, rows, "displacement", scale)
        if axes in drawing.lowest:
            label_updates(axes, table)
    style.set_titles(drawing.figure, titles)
    for axes in drawing.left:
        axes.set_ylabel("displacement of a token\nby one update (L2 norm)")
    entries = [*band_entries(table), *divergence_entries(table), *scale.entries()]
    style.legend_below(drawing.figure, entries)
    return drawing.figure


RECIPE = command.Recipe(
    name="displacement",
    title="Displacement of tokens by each update",
    inputs="freezing.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
