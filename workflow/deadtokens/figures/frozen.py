"""Figure: the fraction of tokens that an update left frozen, dead tokens beside live ones.

Frozen at t means bitwise unchanged by update t.
"""

from collections.abc import Sequence

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import command, style
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.lines import (
    divergence_entries,
    draw_runs,
    group_entries,
    strokes,
)
from deadtokens.figures.runs import (
    EACH,
    Run,
    curve,
    described,
    experiment,
    mean_over_runs,
    open_runs,
    populations,
    thinning,
)

TYPES = {
    **NAMES,
    "series": "str",
    "population": "str",
    "tokens": "Int64",
    "update": "int64",
    "frozen_fraction": "float64",
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
        One row a value: ``group``, ``regime``, ``label``, ``run``, ``series``, ``population``,
        ``tokens`` (in that population), ``update``, ``frozen_fraction``, and ``diverged_at`` where
        a diverged run ends. A population without tokens has no rows.
    """
    runs = experiment(datasets)
    every = thinning(runs)
    curves = pd.concat(_curve(run, kind, every) for run in runs for kind in populations(run))
    lines = curves[curves["series"] == EACH]
    means = mean_over_runs(lines, ["population", "tokens", "update"], "frozen_fraction")
    rows = pd.concat([curves, means], ignore_index=True)
    return typed(rows, TYPES)


def _curve(run: Run, population: str, every: int) -> pd.DataFrame:
    fraction = run.data["frozen_fraction"].sel(population=population)
    rows = curve(run, every, frozen_fraction=fraction)
    return described(rows.assign(population=population, tokens=populations(run)[population]), run)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.6)
    by_group = strokes(table)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, population in zip(panels, style.POPULATIONS, strict=True):
        style.label_updates(axes, table["update"])
        rows = table[table["population"] == population]
        axes.set_ylim(-0.03, 1.03)
        draw_runs(axes, rows, "frozen_fraction", by_group)
        axes.set_title(_title(population, rows))
    panels[0].set_ylabel("fraction of tokens frozen\n(bitwise unchanged by the update)")
    style.legend_below(figure, group_entries(table, by_group) + divergence_entries(table))
    return figure


def _title(population: str, rows: pd.DataFrame) -> str:
    """Name the population, and the groups whose lines lie on each other at zero."""
    if rows.empty:
        return f"no {population} tokens"
    title = f"{population} tokens (n = {style.number_of(rows['tokens'])})"
    highest = rows.groupby("group", sort=False)["frozen_fraction"].max()
    still = list(highest.index[highest == 0])
    if not still:
        return title
    names = "all runs" if len(still) == len(highest) else "; ".join(still)
    return f"{title}\n{style.as_drawn(f'0 at all updates drawn: {names}', 55)}"


RECIPE = command.Recipe(
    name="frozen",
    title="Frozen tokens",
    inputs="freezing.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, ["frozen_fraction", "population", "dead"]),
    table=table,
    draw=draw,
)
