"""Which of the four recorded tensors are needed, and what each choice of them costs.

The first updates of the first run of the experiment, written once more with each choice of tensors
and read back. Left: size on disk, and its share of the recorded bits of all four before
compression; where tensors are replayed, the state before the first update and the checksums of
every state are counted. Right: which results the choice gives, how many of all values read back
differ in a bit from the run's, and the wall time of reading them per update. With gradients the
missing tensors are replayed, bit for bit, so that every result follows; the *audit* then compares
checksums where it has no values. W alone tells when tokens freeze and how they drift, but not why.
The times hold for the machine that drew this report; sizes of later updates differ, because a W
that settles shrinks more.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deadtokens.figures import command, style
from deadtokens.figures.columns import typed
from deadtokens.figures.inputs import open_dataset
from deadtokens.figures.measurement import ATTRIBUTES, measured_rows

QUANTITIES = ("stored_bytes", "read_time", "compared", "differing")
NEEDED = (*QUANTITIES, "gives", "raw_bytes", "choice", "result")
COLOR = "#1f5f8b"
YES, NO = "yes", "–"
DIFFERING, READING = "values that differ", "ms to read"
WIDTHS = {DIFFERING: 25, READING: 12}  # of columns, in characters
TYPES = {
    "run": "str",
    "choice": "str",
    "result": "str",
    "gives": "bool",
    "updates": "int64",
    "kilobytes": "float64",
    "of_raw": "float64",
    "read_milliseconds": "float64",
    "compared": "int64",
    "differing": "int64",
    "measured_on": "str",
    "measured_cores": "int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of one Dataset
        A run's measurement, as `deadtokens.costs.tensors` makes it.

    Returns
    -------
    DataFrame
        One row a choice and result: whether the choice gives it; and of the choice, size on disk
        and time to read per update, values compared and differing. A choice that the run's record
        does not give has no rows.

    Raises
    ------
    UserError
        If there are several measurements.
    """
    rows = measured_rows(datasets, "tensors.nc", NEEDED[:6], ["choice", "result"])
    rows = rows.assign(
        of_raw=rows["stored_bytes"] / rows["raw_bytes"],
        read_milliseconds=rows["read_time"] * 1e3,
    )
    return typed(rows.dropna(), TYPES).reset_index(drop=True)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    choices = table.drop_duplicates("choice")
    figure = style.blank(height=0.8 + 0.32 * max(1, len(choices)))
    disk, grid = figure.subplots(1, 2, width_ratios=[1, 1.9], sharey=True)
    _draw_sizes(disk, choices)
    _draw_grid(grid, table, choices)
    disk.set_yticks(range(len(choices)), [style.as_drawn(name, 20) for name in choices["choice"]])
    disk.set_ylim(max(1, len(choices)) - 0.5, -0.5)
    about = _about(table)
    figure.supxlabel(about, x=0.01, ha="left", fontsize=7.5)
    style.grow(figure, max(0, about.count("\n") - 1))
    return figure


def _draw_sizes(axes: Axes, choices: pd.DataFrame) -> None:
    """Draw a bar a choice, its size and its share of the raw bits beside it."""
    axes.barh(range(len(choices)), choices["kilobytes"], height=0.6, color=COLOR)
    for place, (size, share) in enumerate(choices[["kilobytes", "of_raw"]].itertuples(index=False)):
        text = f"{size:,.0f} ({share:.2f})" if size >= 100 else f"{size:.2g} ({share:.2f})"
        axes.annotate(text, (size, place), (3, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, 1.75 * choices["kilobytes"].max() if len(choices) else 1)
    axes.set_title("kB per update on disk\n(share of raw bits)")
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _draw_grid(axes: Axes, table: pd.DataFrame, choices: pd.DataFrame) -> None:
    """Write which results each choice gives, how many values differ, and the time to read."""
    results = list(dict.fromkeys(table["result"]))
    given = table.pivot(index="choice", columns="result", values="gives")
    columns = [*results, DIFFERING, READING]
    widths = np.array([WIDTHS.get(column, 1.5 + len(column)) for column in columns])
    centres = np.cumsum(widths) - widths / 2
    for place, row in enumerate(choices.itertuples()):
        answers = [YES if given.loc[row.choice, result] else NO for result in results]
        numbers = [f"{row.differing:,} of {row.compared:,}", f"{row.read_milliseconds:.2g}"]
        for centre, text in zip(centres, [*answers, *numbers], strict=True):
            axes.text(centre, place, text, ha="center", va="center", fontsize=7)
    axes.set_xticks(centres, [style.as_drawn(column, 11) for column in columns], fontsize=7)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelleft=False)
    axes.set_xlim(0, widths.sum())
    for side in axes.spines.values():
        side.set_visible(False)


def _about(table: pd.DataFrame) -> str:
    if table.empty:
        return "no update was recorded"
    first = table.iloc[0]
    cores = f"{first['measured_cores']} core{'s' if first['measured_cores'] > 1 else ''}"
    run, machine = (style.as_drawn(first[name], 60) for name in ("run", "measured_on"))
    return f"first {first['updates']:,} updates of {run}\ntimes: {cores}, {machine}"


RECIPE = command.Recipe(
    name="tensors",
    title="Which tensors are needed",
    inputs="tensors.nc of a run",
    open=lambda paths: [open_dataset(path, NEEDED, ATTRIBUTES) for path in paths],
    table=table,
    draw=draw,
)
