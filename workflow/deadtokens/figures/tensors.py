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

from deadtokens.figures import command, measurement, style
from deadtokens.figures.axes import draw_named_bars
from deadtokens.figures.columns import numbers, texts
from deadtokens.figures.measurement import written

QUANTITIES = ("stored_bytes", "read_time", "compared", "differing", "gives", "raw_bytes")
COLOR = "#1f5f8b"
YES, NO = "yes", "–"
DIFFERING, READING = "values that differ", "ms to read"
WIDTHS = {DIFFERING: 25, READING: 12}  # of columns, in characters
TYPES = (
    texts("run", "choice", "result")
    | {"gives": "bool", "updates": "int64"}
    | numbers("kilobytes", "of_raw", "read_milliseconds")
    | {"compared": "int64", "differing": "int64"}
    | measurement.MACHINE
)


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
    return measurement.table(
        datasets,
        QUANTITIES,
        TYPES,
        of_raw=lambda rows: rows["stored_bytes"] / rows["raw_bytes"],
        read_milliseconds=lambda rows: rows["read_time"] * 1e3,
    )


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty(measurement.NOTHING)
    choices = table.drop_duplicates("choice")
    figure = style.blank(height=0.8 + 0.32 * len(choices))
    disk, grid = figure.subplots(1, 2, width_ratios=[1, 1.9], sharey=True)
    _draw_grid(grid, table, choices)
    _draw_sizes(disk, choices)
    record, machine = measurement.about(table)
    lines = [" ".join(record), f"times: {', '.join(machine)}"]
    about = "\n".join(style.as_drawn(line) for line in lines)
    figure.supxlabel(about, x=0.01, ha="left", fontsize=7.5)
    return figure


def _draw_sizes(axes: Axes, choices: pd.DataFrame) -> None:
    """Draw a bar a choice, its size and its share of the raw bits beside it."""
    sizes = zip(choices["kilobytes"], choices["of_raw"], strict=True)
    texts = [f"{written(size)} ({share:.2f})" for size, share in sizes]
    look = {"color": COLOR, "height": 0.6}
    draw_named_bars(axes, choices["choice"], choices["kilobytes"], texts, **look)
    axes.set_xlim(0, 1.75 * choices["kilobytes"].max())
    axes.set_title("kB per update on disk\n(share of raw bits)")
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _draw_grid(axes: Axes, table: pd.DataFrame, choices: pd.DataFrame) -> None:
    """Write which results each choice gives, how many values differ, and the time to read."""
    results = list(dict.fromkeys(table["result"]))
    given = table.pivot(index="choice", columns="result", values="gives")
    columns = [*results, DIFFERING, READING]
    widths = np.array([WIDTHS.get(column, 1.5 + len(column)) for column in columns])
    centres = np.cumsum(widths) - widths / 2
    for place, row in enumerate(choices.itertuples()):
        answers = [YES if given.loc[row.choice, result] else NO for result in results]
        numbers = [f"{row.differing:,} of {row.compared:,}", written(row.read_milliseconds)]
        for centre, text in zip(centres, [*answers, *numbers], strict=True):
            axes.text(centre, place, text, ha="center", va="center", fontsize=7)
    axes.set_xticks(centres, [style.as_drawn(column, 11) for column in columns], fontsize=7)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelleft=False)
    axes.set_xlim(0, widths.sum())
    for side in axes.spines.values():
        side.set_visible(False)


RECIPE = command.Recipe(
    name="tensors",
    title="Which tensors are needed",
    inputs="tensors.nc of a run",
    open=measurement.opener([*QUANTITIES, "choice", "result"]),
    table=table,
    draw=draw,
)
