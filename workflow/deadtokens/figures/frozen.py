"""The fraction of tokens that an update left frozen, dead tokens beside live ones.

Dead tokens never occur in the training text; live ones stood in a batch of the run; those that
stood in none, where there are any, were never sampled. A token is frozen at update t if that update
left all components of its row bitwise unchanged; a falling line is a thaw. Of more than 100 updates
bins are drawn: the median of a bin as a line, shaded the range of its updates, over all runs of one
colour. A fraction that jumps from one update to the next is a high band. Runs that differ only in
their seed share a colour: thin lines are single runs, the other line is their mean. A cross marks
the last update of a run that diverged.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import command, style
from deadtokens.figures.axes import label_updates
from deadtokens.figures.bins import HIGHEST, even_starts
from deadtokens.figures.columns import NAMES, in_bins, typed
from deadtokens.figures.lines import (
    divergence_entries,
    draw_runs,
    group_entries,
    range_entries,
    strokes,
)
from deadtokens.figures.runs import (
    EACH,
    Run,
    curve,
    described,
    experiment,
    longest,
    mean_over_runs,
    open_runs,
    populations,
)

TYPES = {
    **NAMES,
    "series": "str",
    "population": "str",
    "tokens": "Int64",
    **in_bins("frozen_fraction"),
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's freezing each: ``frozen_fraction`` over ``update`` and ``population``, and
        ``dead`` over ``token``.

    Returns
    -------
    DataFrame
        One row a bin of updates: ``group``, ``regime``, ``label``, ``run``, ``series``,
        ``population``, ``tokens`` (in that population), ``update`` and ``last_update``, the median
        ``frozen_fraction`` with its ``lowest`` and ``highest``, and ``diverged_at`` where a
        diverged run ends. A population without tokens has no rows.
    """
    runs = experiment(datasets)
    starts = even_starts(longest(runs))
    curves = pd.concat(_curve(run, kind, starts) for run in runs for kind in populations(run))
    lines = curves[curves["series"] == EACH]
    point = ["population", "tokens", "update", "last_update"]
    means = mean_over_runs(lines, point, "frozen_fraction")
    rows = pd.concat([curves, means], ignore_index=True)
    return typed(rows, TYPES)


def _curve(run: Run, population: str, starts: np.ndarray) -> pd.DataFrame:
    fraction = run.data["frozen_fraction"].sel(population=population)
    rows = curve(run, starts, "frozen_fraction", fraction)
    return described(rows.assign(population=population, tokens=populations(run)[population]), run)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.6)
    by_group = strokes(table)
    kinds = style.populations_in(table)
    panels = figure.subplots(1, len(kinds), sharex=True, sharey=True)
    titles = {}
    for axes, population in zip(panels, kinds, strict=True):
        label_updates(axes, table)
        rows = table[table["population"] == population]
        axes.set_ylim(-0.03, 1.03)
        draw_runs(axes, rows, "frozen_fraction", by_group)
        titles[axes] = _title(population, rows, 104 // len(kinds))
    style.set_titles(figure, titles)
    panels[0].set_ylabel("fraction of tokens frozen\n(bitwise unchanged by the update)")
    entries = [*group_entries(table, by_group), *range_entries(table), *divergence_entries(table)]
    style.legend_below(figure, entries)
    return figure


def _title(population: str, rows: pd.DataFrame, width: int) -> str:
    """Name the population, and the groups whose lines lie on each other at zero."""
    if rows.empty:
        return f"no {population} tokens"
    title = f"{population} tokens (n = {style.number_of(rows['tokens'])})"
    highest = rows.groupby("group", sort=False)[HIGHEST].max()
    still = list(highest.index[highest == 0])
    if not still:
        return title
    names = "all runs" if len(still) == len(highest) else "; ".join(still)
    return f"{title}\n{style.as_drawn(f'0 at every update: {names}', width)}"


RECIPE = command.Recipe(
    name="frozen",
    title="Frozen tokens",
    inputs="freezing.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, ["frozen_fraction", "population", "dead"]),
    table=table,
    draw=draw,
)
