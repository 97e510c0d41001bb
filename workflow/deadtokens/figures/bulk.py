"""How much of the dead tokens' motion is common, and how coherent it is.

Above the motion by each update, split into bulk, the step of their centroid, and thermal, the root
mean square displacement relative to it; the squares of the two sum to the mean squared
displacement. Below at the left the bulk's share of that sum: 1 if all move alike, one over the
number of tokens if each goes its own way; tokens at rest count as displacement zero. At the right
the mean cosine between the displacements of two tokens that moved: 0 for independent directions;
drawn where at least 10 moved. Where few tokens move, both are noisy. Of more than 100 updates bins
are drawn: the median of a bin as a line, shaded the range of all its updates. A cross marks the
last update of a run that diverged.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import command, style
from deadtokens.figures.axes import LogScaleWithZero, label_updates
from deadtokens.figures.bins import HIGHEST, LOWEST, even_starts
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
    **in_bins("value"),
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
        One row a bin of updates: ``group``, ``regime``, ``label``, ``run``, ``series``,
        ``quantity`` (of `QUANTITIES`), ``tokens`` (dead), ``update`` and ``last_update``, the
        median ``value`` with its ``lowest`` and ``highest`` (NaN where it is not defined; the
        coherence also where fewer than FEWEST_MOVERS tokens moved), and ``diverged_at`` where a
        diverged run ends. A run without dead tokens has no rows.
    """
    runs = experiment(datasets)
    starts = even_starts(longest(runs))
    curves = [_curve(run, name, starts) for run in runs for name in QUANTITIES if _has_dead(run)]
    rows = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=list(TYPES))
    means = mean_over_runs(
        rows[rows["series"] == EACH], ["quantity", "update", "last_update"], "value"
    )
    rows = pd.concat([rows, means], ignore_index=True) if len(means) else rows
    return typed(rows, TYPES)


def _has_dead(run: Run) -> bool:
    return "dead" in populations(run)


def _curve(run: Run, quantity: str, starts: np.ndarray) -> pd.DataFrame:
    dead = run.data[[quantity, "movers"]].sel(population="dead")
    values = dead[quantity].values
    if quantity == "pairwise_cosine":
        values = np.where(dead["movers"] >= FEWEST_MOVERS, values, np.nan)
    rows = curve(run, starts, "value", values)
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
    speeds = table[table["quantity"].isin(SPEEDS)]
    scale = LogScaleWithZero.spanning(pd.concat([speeds[LOWEST], speeds["value"], speeds[HIGHEST]]))
    for axes, (quantity, title) in zip(panels.flat, QUANTITIES.items(), strict=True):
        rows = table[table["quantity"] == quantity]
        if quantity in SPEEDS:
            scale.apply(axes)
            rows = scale.place_rows(rows, "value")
        else:
            axes.set_ylim(-0.13, 1.05)
        draw_runs(axes, rows, "value", by_group)
        axes.set_title(title)
    for axes in panels[1]:
        label_updates(axes, table)
    panels[0, 0].set_ylabel("displacement of dead tokens\nby one update (L2 norm)")
    panels[1, 0].set_ylabel(f"dead tokens\n(n = {style.number_of(table['tokens'].dropna())})")
    entries = [*group_entries(table, by_group), *range_entries(table), *divergence_entries(table)]
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
