"""The lives of dead tokens as layers, one row a token, the phase as colour.

Each row is one token of one run, each column one update on a logarithmic axis, the colour is the
phase in which that update found the token (as in the figure ``phases``, on bfloat16's grid in every
regime: a token of a float32 run can be frozen here and still move between two numbers of bfloat16).
Rows are in the order of the tokens' last motion on that grid, the earliest at the foot. Nothing is
averaged: of more than 400 tokens every k-th in that order is shown, and the updates are those
nearest to 400 places evenly spaced on the axis; what happened at the updates between is not seen.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from deadtokens.figures import style
from deadtokens.figures.axes import label_log_updates, titled_grid
from deadtokens.figures.columns import NAMES, TOKENS, texts
from deadtokens.figures.phases import MEANING
from deadtokens.figures.runs import Run, described, recipe_of_runs

NEEDED = ("strata", "strata_update", "strata_token", "dead")
TYPES = NAMES | TOKENS | dict.fromkeys(("row", "token", "update", "last"), "Int64") | texts("phase")


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield the stretches of sampled updates over which a token shows one phase.

    ``tokens`` are the dead ones of the run; ``row`` counts from the earliest last motion;
    ``update`` begins the stretch; ``last`` is the run's last sampled update. A run without dead
    tokens or updates has one row with none of these.
    """
    for run in runs:
        dead = int(np.count_nonzero(run.data["dead"]))
        yield described(_stretches(run.data).assign(tokens=dead), run)


def _stretches(data: xr.Dataset) -> pd.DataFrame:
    image = data["strata"].transpose("row", "column").values
    if not image.size:
        return pd.DataFrame(index=[0])
    begins = np.ones(image.shape, bool)
    begins[:, 1:] = image[:, 1:] != image[:, :-1]
    row, column = np.nonzero(begins)
    updates = data["strata_update"].values
    names = np.array(list(style.PHASES))
    return pd.DataFrame(
        {
            "row": row,
            "token": data["strata_token"].values[row],
            "update": updates[column],
            "last": updates[-1],
            "phase": names[image[row, column]],
        }
    )


def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = [rows for _, rows in table.groupby("run", sort=False)]
    titles, columns = [[rows["label"].iloc[0], _shown(rows)] for rows in runs], min(len(runs), 2)
    ylabel = "dead tokens,\nearliest last motion at the foot"
    drawing = titled_grid(titles, columns, height=2.4, margin=0.3, ylabel=ylabel, sharey=False)
    for axes, rows in zip(drawing.panels, runs, strict=True):
        axes.set_yticks([])
        axes.tick_params(labelbottom=True)
        _draw_panel(axes, rows.dropna(subset="row"))
    for axes in drawing.lowest:
        label_log_updates(axes, table, filled=True)
    entries = [(Patch(color=color), MEANING[name]) for name, color in style.PHASES.items()]
    style.legend_below(drawing.figure, entries)
    return drawing.figure


def _shown(rows: pd.DataFrame) -> str:
    if rows["row"].isna().any():
        return "no dead tokens, or no update"
    return f"{rows['row'].nunique():,} of {rows['tokens'].iloc[0]:,} dead tokens"


def _draw_panel(axes: Axes, rows: pd.DataFrame) -> None:
    if rows.empty:
        return
    phases = list(style.PHASES)
    image, updates = _image(rows, phases)
    edges = np.append(updates, rows["last"].iloc[0] + 1)
    colors = ListedColormap(list(style.PHASES.values()))
    look = {"cmap": colors, "vmin": -0.5, "vmax": len(phases) - 0.5, "rasterized": True}
    axes.pcolormesh(edges, np.arange(len(image) + 1), image, **look)


def _image(rows: pd.DataFrame, phases: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the phases, (tokens, stretches), and the updates at which any stretch begins."""
    codes = rows.assign(phase=rows["phase"].map(phases.index))
    wide = codes.pivot(index="row", columns="update", values="phase").sort_index(axis=1)
    return wide.ffill(axis=1).to_numpy(float), wide.columns.to_numpy(float)


RECIPE = recipe_of_runs(
    "strata",
    "Lives of dead tokens in layers",
    "freezing.nc",
    NEEDED,
    rows=_rows,
    types=TYPES,
    draw=draw,
)
