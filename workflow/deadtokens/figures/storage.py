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

from deadtokens.figures import command, measurement, style
from deadtokens.figures.axes import titled_grid
from deadtokens.figures.columns import numbers, texts

WRITERS = {
    "segment": ("this recorder", "#1f5f8b"),
    "stepwise": ("one step at a time, HDF5 gzip 1", "#c8c8c8"),
}
QUANTITIES = ("wall_time", "cpu_time", "stored_bytes", "raw_bytes")
TICK = {"color": "black", "linewidth": 1.2}
TICKS = "left: recorded bits, not compressed; right: CPU time of all threads"
BELOW = {"textcoords": "offset points", "ha": "center", "va": "top", "fontsize": 6.5}
BAR = 0.44  # of the distance between two tensors
TYPES = (
    texts("run", "tensor", "writer")
    | {"updates": "int64"}
    | numbers("kilobytes", "raw_kilobytes", "wall_milliseconds", "cpu_milliseconds")
    | measurement.MACHINE
)


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
    return measurement.table(
        datasets,
        QUANTITIES,
        TYPES,
        raw_kilobytes=lambda rows: rows["raw_bytes"] / 1e3,
        wall_milliseconds=lambda rows: rows["wall_time"] * 1e3,
        cpu_milliseconds=lambda rows: rows["cpu_time"] * 1e3,
    )


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty(measurement.NOTHING)
    (updates, run), (cores, machine) = measurement.about(table)
    titles = [[f"on disk, {updates}", run], [f"time to write, {cores}", machine]]
    drawing = titled_grid(titles, 2, height=2.2, margin=0.2, ylabel="kB per update", sharey=False)
    disk, clock = drawing.panels
    _draw_panel(disk, table, "kilobytes", "raw_kilobytes")
    _draw_panel(clock, table, "wall_milliseconds", "cpu_milliseconds")
    clock.set_ylabel("ms per update")
    bars = [(Patch(color=color), name) for name, color in WRITERS.values()]
    style.legend_below(drawing.figure, [*bars, (Line2D([], [], **TICK), TICKS)])
    return drawing.figure


def _draw_panel(axes: Axes, table: pd.DataFrame, bar: str, tick: str) -> None:
    """Draw a bar a tensor and writer, its value below it, and across it a tick at another value."""
    tensors = list(dict.fromkeys(table["tensor"]))
    for place, (writer, (_, color)) in enumerate(WRITERS.items()):
        rows = table[table["writer"] == writer]
        centres = np.arange(len(rows)) + (place - 0.5) * BAR
        axes.bar(centres, rows[bar], width=BAR, color=color)
        axes.hlines(rows[tick], centres - BAR / 2, centres + BAR / 2, **TICK)
        for centre, value in zip(centres, rows[bar], strict=True):
            axes.annotate(measurement.written(value), (centre, 0), (0, -3), **BELOW)
    axes.set_xticks(range(len(tensors)), [style.as_drawn(name, 20) for name in tensors])
    axes.tick_params(axis="x", length=0, pad=13)
    axes.set_ylim(bottom=0)


RECIPE = command.Recipe(
    name="storage",
    title="What recording costs",
    inputs="storage.nc of a run",
    open=measurement.opener([*QUANTITIES, "writer", "tensor"]),
    table=table,
    draw=draw,
)
