"""Figure: how much of the dead tokens' motion is common, and how coherent it is."""

from collections.abc import Sequence

import numpy as np
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
from deadtokens.figures.logzero import LogScaleWithZero
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

FEWEST_MOVERS = 10
SPEEDS = {
    "bulk_speed": "bulk: the centroid's step",
    "thermal_speed": "thermal: relative to the centroid",
}
SHARES = {
    "bulk_share": "bulk share of the mean square",
    "pairwise_cosine": f"coherence (at least {FEWEST_MOVERS} movers)",
}
QUANTITIES = SPEEDS | SHARES
TYPES = {
    **NAMES,
    "series": "str",
    "quantity": "str",
    "tokens": "Int64",
    "update": "int64",
    "value": "float64",
    "diverged_at": "Int64",
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
        One row a value: ``group``, ``regime``, ``label``, ``run``, ``series``, ``quantity`` (of
        `QUANTITIES`), ``tokens`` (dead), ``update``, ``value`` (NaN where it is not defined; the
        coherence also where fewer than FEWEST_MOVERS tokens moved), and ``diverged_at`` where a
        diverged run ends. A run without dead tokens has no rows.
    """
    runs = experiment(datasets)
    every = thinning(runs)
    curves = [_curve(run, name, every) for run in runs for name in QUANTITIES if _has_dead(run)]
    rows = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=list(TYPES))
    means = mean_over_runs(rows[rows["series"] == EACH], ["quantity", "update"], "value")
    rows = pd.concat([rows, means], ignore_index=True) if len(means) else rows
    return typed(rows, TYPES)


def _has_dead(run: Run) -> bool:
    return "dead" in populations(run)


def _curve(run: Run, quantity: str, every: int) -> pd.DataFrame:
    dead = run.data[[quantity, "movers"]].sel(population="dead")
    values = dead[quantity].values
    if quantity == "pairwise_cosine":
        values = np.where(dead["movers"] >= FEWEST_MOVERS, values, np.nan)
    rows = curve(run, every, value=values)
    return described(rows.assign(quantity=quantity, tokens=populations(run)["dead"]), run)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=4.2)
    if table.empty:
        figure.text(0.5, 0.5, "no dead tokens", ha="center")
        return figure
    by_group = strokes(table)
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    scale = LogScaleWithZero.spanning(table.loc[table["quantity"].isin(SPEEDS), "value"])
    for axes, (quantity, title) in zip(panels.flat, QUANTITIES.items(), strict=True):
        rows = table[table["quantity"] == quantity]
        if quantity in SPEEDS:
            scale.apply(axes)
            rows = rows.assign(value=scale.place(rows["value"]))
        else:
            axes.set_ylim(-0.13, 1.05)
        draw_runs(axes, rows, "value", by_group)
        axes.set_title(title)
    for axes in panels[1]:
        style.label_updates(axes, table["update"])
    panels[0, 0].set_ylabel("displacement of dead tokens\nby one update (L2 norm)")
    panels[1, 0].set_ylabel(f"dead tokens\n(n = {style.number_of(table['tokens'].dropna())})")
    entries = group_entries(table, by_group) + divergence_entries(table)
    style.legend_below(figure, entries + scale.entries())
    return figure


RECIPE = command.Recipe(
    name="bulk",
    title="Common and thermal motion of the dead tokens",
    inputs="drift.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, [*QUANTITIES, "movers", "population", "dead"]),
    table=table,
    draw=draw,
)
