"""What changing one setting does, every seed shown.

A panel for the primary outcome, which was named before any run was compared, and one for each of a
few secondary ones; a row a contrast. Drawn is how much the outcome differs, within each seed, from
the baseline (zero, dashed), where one setting is changed and all else is equal; where two settings
are varied over a full grid, also the mean effects of one over the values of the other, and their
interactions. A dot is a seed; below the dots the diamond is their mean, the bar its 95 % interval
by Student's t over the seeds, for each contrast alone, so that of many one in twenty misses its
value by chance. One seed has no interval. An open diamond is the mean of fewer seeds than the
experiment has; a seed that lacks a run or its outcome stands hollow in the strip at the right. Of
more than 12 contrasts those are drawn whose other settings are at their baselines; if that is still
too many, first without the interactions, then without the main effects, then the first 12. The
legend says how many are drawn. All contrasts, and all other outcomes, stand in the experiment's
effects.csv.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.comparison.shapes import EFFECT, INTERACTION
from deadtokens.figures import marks, seeds, style
from deadtokens.figures.columns import texts
from deadtokens.figures.seeds import MEAN
from deadtokens.figures.strips import Strips

DIFFERENCE = "difference"
MOST = 12  # contrasts: what a page has room for
NO_CONTRAST = "no setting is changed alone"
NEEDED = (
    *("outcome", "meaning", "unit", "contrast", "kind", "at_baseline", "pair"),
    *("difference", "mean", "low", "high", "pairs"),
)
TYPES = seeds.OUTCOME | texts("name") | seeds.VALUES | {"contrasts": "int64"}


def _table(data: xr.Dataset) -> pd.DataFrame:
    """Return, for each outcome, a row a contrast and seed, and a row a contrast.

    ``contrasts`` is how many there are, drawn or not.
    """
    drawn = data.isel(contrast=_chosen(data))
    rows = [row for name in seeds.shown(data) for row in _rows(drawn.sel(outcome=name), name)]
    return pd.concat(rows, ignore_index=True).assign(contrasts=data.sizes["contrast"])


def _chosen(data: xr.Dataset) -> np.ndarray:
    """Return the contrasts that are drawn: all, or those that matter most, as far as there is room.

    Returns
    -------
    ndarray of int
    """
    kind, at_baseline = data["kind"].values, data["at_baseline"].values.astype(bool)
    everything = np.ones(len(kind), bool)
    choices = (everything, at_baseline, at_baseline & (kind != INTERACTION))
    fitting = (np.flatnonzero(choice) for choice in choices if 0 < choice.sum() <= MOST)
    effects = at_baseline & (kind == EFFECT)
    return next(fitting, np.flatnonzero(effects if effects.any() else everything)[:MOST])


def _rows(data: xr.Dataset, outcome: str) -> Iterator[pd.DataFrame]:
    about = {"outcome": outcome, **{name: str(data[name].values) for name in ("meaning", "unit")}}
    contrasts, pairs = data["contrast"].values, data["pair"].values
    differences = {
        "name": np.repeat(contrasts, len(pairs)),
        "seed": np.tile(pairs, len(contrasts)),
        "value": data["difference"].transpose("contrast", "pair").values.ravel(),
    }
    about |= {"run": "", "reason": ""}
    yield pd.DataFrame(differences).assign(series=DIFFERENCE, **about)
    means = {name: data[name].values for name in ("low", "high")} | {"seeds": data["pairs"].values}
    yield pd.DataFrame({"name": contrasts, "value": data["mean"].values, **means}).assign(
        series=MEAN, **about
    )


def _draw(table: pd.DataFrame) -> Figure:
    if table.empty:
        return style.empty(NO_CONTRAST)
    figure = Strips(DIFFERENCE, of_differences=True).draw(table)
    style.legend_below(figure, [*marks.entries_of_seeds(seeds.by_seed(table)), *_entries(table)])
    return figure


def _entries(table: pd.DataFrame) -> Iterator[tuple[Line2D, str]]:
    color = {"color": style.NEUTRAL}
    if table.loc[table["series"] == DIFFERENCE, "value"].isna().any():
        yield Line2D([], [], **color | marks.HOLLOW), "none: a run of the seed, or its outcome"
    drawn, every = table["name"].nunique(), table["contrasts"].iloc[0]
    if drawn < every:
        blank = Line2D([], [], linestyle="none")
        yield blank, f"drawn: {drawn} of {every} contrasts; effects.csv has all"


RECIPE = seeds.recipe(
    "effects",
    "What changing one setting does",
    types=TYPES,
    table=_table,
    draw=_draw,
    needed=NEEDED,
)
