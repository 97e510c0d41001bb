"""The estimated fraction of dead tokens whose freezing is still to come.

It is the Kaplan-Meier estimate of those whose freezing comes after each update. A token's freezing
time is its last motion, bitwise on the recorded weights. The record ends, and what moves later is
unknown: at the left only tokens that the last update moved count as not yet frozen, at the right
also those whose last stillness is shorter than 10 updates or no longer than one that they broke
before. What the left curves fall near their end can be made by the end itself: a longer record can
show such tokens move again. The bands are 95 % at each single update, for independent tokens; steps
shared by many tokens show that they are not independent, so the true uncertainty is larger. Of more
than 2,000 updates every n-th is drawn, as the axis says: between them the curves only fall.
"""

from collections.abc import Sequence

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from deadtokens.figures import command, style
from deadtokens.figures.axes import label_updates
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
    described,
    drawn,
    end_of,
    experiment,
    open_runs,
    populations,
    thinning,
)
from deadtokens.freezing.lasting import LASTING

GRID, POPULATION = "recorded", "dead"
CRITERIA = {
    "last motion": "frozen: not moved in the last update\nof the record",
    "settled": f"frozen: still for {LASTING} updates or more at the end,\n"
    "and for longer than ever before",
}
COLUMNS = {"surviving": "fraction", "low": "low", "high": "high"}
NEEDED = ("surviving_fraction", "surviving_low", "surviving_high", "criterion", "grid", "dead")
TYPES = {
    **NAMES,
    "series": "str",
    "criterion": "str",
    "tokens": "Int64",
    "update": "int64",
    "surviving": "float64",
    "low": "float64",
    "high": "float64",
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's freezing each: ``surviving_fraction``, ``surviving_low`` and ``surviving_high``
        over ``update``, ``population``, ``grid`` and ``criterion``, and ``dead`` over ``token``.

    Returns
    -------
    DataFrame
        One row a value: ``group``, ``regime``, ``label``, ``run``, ``series``, ``criterion``,
        ``tokens`` (dead ones), ``update``, ``surviving``, ``low`` and ``high`` of its band, and
        ``diverged_at`` where a diverged run ends. A run without dead tokens has no rows.
    """
    runs = [run for run in experiment(datasets) if POPULATION in populations(run)]
    every = thinning(runs) if runs else 1
    rows = [_curve(run, criterion, every) for run in runs for criterion in CRITERIA]
    whole = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    return typed(whole, TYPES)


def _curve(run: Run, criterion: str, every: int) -> pd.DataFrame:
    data = run.data.sel(population=POPULATION, grid=GRID, criterion=criterion)
    values = {name: data[f"surviving_{source}"].values for name, source in COLUMNS.items()}
    updates = data["update"].values
    line = pd.DataFrame({"series": EACH, "update": updates, **values})[drawn(updates, every)]
    rows = pd.concat([line, end_of(line, run)])
    return described(rows.assign(criterion=criterion, tokens=populations(run)[POPULATION]), run)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.7)
    by_group = strokes(table)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (criterion, words) in zip(panels, CRITERIA.items(), strict=True):
        rows = table[table["criterion"] == criterion]
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(words if len(rows) else f"{words}\nno dead tokens")
        if len(table):
            label_updates(axes, table)
        _draw_panel(axes, rows, by_group)
    panels[0].set_ylabel("fraction of dead tokens\nwhose freezing is still to come")
    band = (Patch(color=style.NEUTRAL, alpha=0.25, linewidth=0), "95 % band of a curve, pointwise")
    style.legend_below(figure, [*group_entries(table, by_group), band, *divergence_entries(table)])
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, by_group: dict[str, style.Stroke]) -> None:
    lines = rows[rows["series"] == EACH]
    for (group, _), line in lines.groupby(["group", "run"], sort=False):
        band = {"color": by_group[group].color, "alpha": 0.25, "linewidth": 0, "step": "post"}
        axes.fill_between(line["update"], line["low"], line["high"], **band)
    draw_runs(axes, rows, "surviving", by_group)


RECIPE = command.Recipe(
    name="survival",
    title="Survival of motion",
    inputs="freezing.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
