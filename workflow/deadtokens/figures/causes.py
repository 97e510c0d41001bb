"""Why the components of dead tokens stood still, as parts of all their components.

At each update (averaged over bins; the axis is logarithmic) the areas are fractions of *all*
components of dead tokens: grey on top moved, each colour below stood still, bit for bit, for one
cause. Blue: even exact first and second moments, replayed in float32 from the recorded gradients,
would give an update that rounding to nearest loses; light blue: such an update is not lost, but
waits in the compensation of the weight. Yellow: with the recorded moments the update,
computed exactly, would move the component; a rounding inside the update held it or, where results
are rounded stochastically, chance. The other colours: exact moments would move it, the recorded
ones do not, and the colour says which of them had to be exact. This is a counterfactual along the
recorded gradients, one update at a time. It does not say what a training with exact moments would
have become: the weights would have moved, and so would the gradients. Under stochastic rounding
blue does not mean that the update was bound to be lost.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from deadtokens.figures import stacks
from deadtokens.figures.bins import bin_starts
from deadtokens.figures.columns import DIVERGED_AT, numbers, texts
from deadtokens.figures.runs import Run, longest

BINS = 80
MOVED = "moved"
# What is drawn, from the bottom to the top: colour, and the words of the legend.
LAYERS = {
    "no gradient": ("#1a1a1a", "no gradient, neither now nor remembered"),
    "below half an ulp": ("#4a86b8", "below half an ulp, even with exact moments"),
    "compensated": ("#b9d3e6", "below half an ulp, but kept in the compensation"),
    "another rounding": ("#f4d35e", "another rounding of the update, or chance"),
    "first moment": ("#7fc8a9", "first moment: only that one had to be exact"),
    "second moment": ("#a8234a", "second moment: only that one had to be exact"),
    "either": ("#f2a27a", "either moment: one exact one was enough"),
    "both together": ("#54276b", "both moments: both had to be exact"),
    MOVED: ("#ececec", "moved"),
}
TYPES = stacks.GROUP | texts("cause") | stacks.BIN | numbers("fraction") | DIVERGED_AT


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield the fractions of all components of dead tokens that each cause held, or that moved.

    ``tokens`` are the dead ones.
    """
    starts = bin_starts(longest(runs) + 1, BINS + 1)[:-1]

    def fractions(members: Sequence[Run]) -> pd.DataFrame:
        rows = stacks.mean_fractions([_layers(run.data) for run in members], starts, "cause")
        return rows.assign(tokens=max(run.data.sizes["token"] for run in members))

    return stacks.of_groups(runs, fractions)


def _layers(data: xr.Dataset) -> pd.DataFrame:
    """Return, per update, the parts of all components of dead tokens; none without dead tokens."""
    data = data if data.sizes["token"] else data.isel(update=[])
    still = data["still_fraction"]
    parts = (data["cause_fraction"].fillna(0) * still).transpose("update", "cause")
    return parts.to_pandas().assign(**{MOVED: 1 - still.values})


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


FIGURE = stacks.StackFigure(
    part="cause",
    parts=LAYERS,
    types=TYPES,
    rows=_rows,
    panels=lambda table: stacks.of_table(table, _title),
    columns=lambda table: min(table["group"].nunique(), 3),
    height=1.85,
    ylabel="fraction of dead\ntokens' components",
)
RECIPE = FIGURE.recipe(
    "causes",
    "Why components of dead tokens stood still",
    "stillness.nc",
    ["still_fraction", "cause_fraction", "cause", "token"],
)
