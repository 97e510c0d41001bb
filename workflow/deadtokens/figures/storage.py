"""What recording a tensor costs, on disk and in time, ours beside one step at a time.

The first updates of the first run of the experiment, each tensor written once more by itself. Left:
size on disk, with the recorded bits before compression as a line. Right: wall time on the machine
that drew this report, with the CPU time of all threads as a line. *One step at a time* is the usual
way: each step is copied into an HDF5 file, in chunks of one step, compressed by gzip at level 1
without shuffle, while the training waits. The times hold for that machine alone; the sizes hold
everywhere.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import command, style
from deadtokens.figures.columns import typed
from deadtokens.figures.inputs import open_dataset
from deadtokens.figures.measurement import ATTRIBUTES, measured_rows

WRITERS = {
    "segment": ("this recorder", "#1f5f8b"),
    "stepwise": ("one step at a time, HDF5 gzip 1", "#c8c8c8"),
}
NEEDED = ("wall_time", "cpu_time", "stored_bytes", "raw_bytes", "writer", "tensor")
TICK = {"color": "black", "linewidth": 1.2}
BELOW = {"textcoords": "offset points", "ha": "center", "va": "top", "fontsize": 7}
BAR = 0.36  # of the distance between two tensors
TYPES = {
    "run": "str",
    "tensor": "str",
    "writer": "str",
    "updates": "int64",
    "kilobytes": "float64",
    "raw_kilobytes": "float64",
    "wall_milliseconds": "float64",
    "cpu_milliseconds": "float64",
    "measured_on": "str",
    "measured_cores": "int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of one Dataset
        A run's measurement, as `deadtokens.costs.storage` makes it.

    Returns
    -------
    DataFrame
        One row a tensor and writer, each quantity per update; no rows if no update was recorded.

    Raises
    ------
    UserError
        If there are several measurements.
    """
    rows = measured_rows(datasets, "storage.nc", NEEDED[:4], ["tensor", "writer"])
    rows = rows.assign(
        raw_kilobytes=rows["raw_bytes"] / 1e3,
        wall_milliseconds=rows["wall_time"] * 1e3,
        cpu_milliseconds=rows["cpu_time"] * 1e3,
    )
    return typed(rows.dropna(), TYPES).reset_index(drop=True)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.4)
    disk, clock = figure.subplots(1, 2)
    _draw_panel(disk, table, "kilobytes", "raw_kilobytes")
    _draw_panel(clock, table, "wall_milliseconds", "cpu_milliseconds")
    style.set_titles(figure, {disk: _record(table), clock: _machine(table)})
    disk.set_ylabel("kB per update")
    clock.set_ylabel("ms per update")
    style.legend_below(figure, _entries())
    return figure


def _record(table: pd.DataFrame) -> str:
    if table.empty:
        return "no update was recorded"
    name = style.as_drawn(table["run"].iloc[0], 45)
    return f"on disk, first {table['updates'].iloc[0]:,} updates of\n{name}"


def _machine(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    cores = table["measured_cores"].iloc[0]
    name = style.as_drawn(table["measured_on"].iloc[0], 45)
    return f"time to write, {cores} core{'s' if cores > 1 else ''}\n{name}"


def _draw_panel(axes: Axes, table: pd.DataFrame, bar: str, tick: str) -> None:
    """Draw a bar a tensor and writer, its value below it, and across it a tick at another value."""
    tensors = list(dict.fromkeys(table["tensor"]))
    for place, (writer, (_, color)) in enumerate(WRITERS.items()):
        rows = table[table["writer"] == writer]
        centres = np.arange(len(rows)) + (place - 0.5) * BAR
        axes.bar(centres, rows[bar], width=BAR, color=color)
        axes.hlines(rows[tick], centres - BAR / 2, centres + BAR / 2, **TICK)
        for centre, value in zip(centres, rows[bar], strict=True):
            axes.annotate(_number(value), (centre, 0), (0, -3), **BELOW)
    axes.set_xticks(range(len(tensors)), [style.as_drawn(name, 20) for name in tensors])
    axes.tick_params(axis="x", length=0, pad=13)
    axes.set_ylim(bottom=0)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _entries() -> list[tuple[object, str]]:
    bars = [(Patch(color=color), name) for name, color in WRITERS.values()]
    line = Line2D([], [], **TICK)
    return [*bars, (line, "left: recorded bits, not compressed; right: CPU time of all threads")]


RECIPE = command.Recipe(
    name="storage",
    title="What recording costs",
    inputs="storage.nc of a run",
    open=lambda paths: [open_dataset(path, NEEDED, ATTRIBUTES) for path in paths],
    table=table,
    draw=draw,
)
