"""Why the components of dead tokens stood still, as parts of all their components.

At each update (averaged over bins; the axis is logarithmic) the areas are fractions of *all*
components of dead tokens: grey on top moved, each colour below stood still, bit for bit, for one
cause. Blue: even exact first and second moments, replayed in float32 from the recorded gradients,
would give an update that rounding to nearest loses. Yellow: with the recorded moments the update,
computed exactly, would move the component; a rounding inside the update held it or, where results
are rounded stochastically, chance. The other colours: exact moments would move it, the recorded
ones do not, and the colour says which of them had to be exact. This is a counterfactual along the
recorded gradients, one update at a time. It does not say what a training with exact moments would
have become: the weights would have moved, and so would the gradients. Under stochastic rounding
blue does not mean that the update was bound to be lost.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import command, stacks, style
from deadtokens.figures.bins import bin_starts
from deadtokens.figures.runs import Run, experiment, longest, open_runs

BINS = 80
MOVED = "moved"
# What is drawn, from the bottom to the top: colour, and the words of the legend.
LAYERS = {
    "no gradient": ("#1a1a1a", "no gradient, neither now nor remembered"),
    "below half an ulp": ("#4a86b8", "below half an ulp, even with exact moments"),
    "another rounding": ("#f4d35e", "another rounding of the update, or chance"),
    "first moment": ("#7fc8a9", "first moment: only that one had to be exact"),
    "second moment": ("#a8234a", "second moment: only that one had to be exact"),
    "either": ("#f2a27a", "either moment: one exact one was enough"),
    "both together": ("#54276b", "both moments: both had to be exact"),
    MOVED: ("#ececec", "moved"),
}
TYPES = {
    **stacks.GROUP,
    "cause": "str",
    **stacks.BIN,
    "fraction": "float64",
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's stillness each: ``still_fraction`` over ``update``, ``cause_fraction`` over
        ``update`` and ``cause``, ``token``.

    Returns
    -------
    DataFrame
        One row a group of runs, bin of updates and layer: ``group``, ``regime``, ``runs`` and dead
        ``tokens`` of the group, ``cause`` (or moved), ``first_update`` and ``last_update`` of the
        bin, ``fraction`` of all components of dead tokens, averaged over the bin's updates and then
        over the group's runs as far as all of them go, and ``diverged_at`` where one diverged.
        A group without a dead token or an update has one row without a bin.
    """
    runs = experiment(datasets)
    starts = bin_starts(longest(runs) + 1, BINS + 1)[:-1]
    return stacks.group_table(runs, lambda members: _fractions(members, starts), TYPES)


def _fractions(runs: Sequence[Run], starts: np.ndarray) -> pd.DataFrame:
    rows = stacks.mean_fractions([_layers(run.data) for run in runs], starts, "cause")
    return rows.assign(tokens=max(run.data.sizes["token"] for run in runs))


def _layers(data: xr.Dataset) -> pd.DataFrame:
    """Return, per update, the parts of all components of dead tokens; none without dead tokens."""
    data = data if data.sizes["token"] else data.isel(update=[])
    still = data["still_fraction"]
    parts = (data["cause_fraction"].fillna(0) * still).transpose("update", "cause")
    return parts.to_pandas().assign(**{MOVED: 1 - still.values})


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    panels = [(_title(rows), rows) for _, rows in table.groupby("group", sort=False)]
    columns, ylabel = min(3, len(panels)), "fraction of dead\ntokens' components"
    return stacks.draw_areas(panels, "cause", LAYERS, columns, height=1.85, ylabel=ylabel)


def _title(rows: pd.DataFrame) -> list[str]:
    name = stacks.group_title(rows, "mean of ")
    if not rows["tokens"].iloc[0]:
        return [name, "no dead tokens"]
    moved = rows[rows["cause"] == MOVED]
    if moved.empty:
        return [name, "no update"]
    length = (moved["last_update"] - moved["first_update"] + 1).astype(float)
    still = 1 - np.average(moved["fraction"], weights=length)
    return [name, f"{100 * still:.3g} % still, over all updates"]


RECIPE = command.Recipe(
    name="causes",
    title="Why components of dead tokens stood still",
    inputs="stillness.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, ["still_fraction", "cause_fraction", "cause", "token"]),
    table=table,
    draw=draw,
)
