"""What changing one setting does, every seed shown.

A panel for the primary outcome, which was named before any run was compared, and one for each of a
few secondary ones; a row a contrast. Drawn is how much the outcome differs, within each seed, from
the baseline (zero, dashed), where one setting is changed and all else is equal; where two settings
are varied over a full grid, also the mean effects of one over the values of the other, and their
interactions. A dot is a seed; below the dots the diamond is their mean, the bar its 95 % interval
by Student's t over the seeds, for each contrast alone, so that of many one in twenty misses its
value by chance. One seed has no interval. An open diamond is the mean of fewer seeds than the
experiment has; a seed that lacks a run or its outcome stands hollow in the strip at the right, and
the legend says why. Of more than 12 contrasts those are drawn whose other settings are at their
baselines; if that is still too many, first without the interactions, then without the main effects,
then the first 12. The legend says how many are drawn. All contrasts, and all other outcomes, stand
in the experiment's effects.csv.
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
MISSING = "a run of the seed is missing"
MOST = 12  # contrasts: what a page has room for
NO_CONTRAST = "no setting is changed alone"
NEEDED = (
    *("outcome", "meaning", "unit", "contrast", "kind", "at_baseline", "pair"),
    *("difference", "mean", "low", "high", "pairs"),
    *("run", "seed", "reason", "key", "setting", "before", "after"),
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
        "value": _differences(data).ravel(),
    }
    about |= {"run": "", "reason": ""}
    reasons = {"reason": _reasons(data)}
    yield pd.DataFrame(differences).assign(series=DIFFERENCE, **about | reasons)
    means = {name: data[name].values for name in ("low", "high")} | {"seeds": data["pairs"].values}
    yield pd.DataFrame({"name": contrasts, "value": data["mean"].values, **means}).assign(
        series=MEAN, **about
    )


def _reasons(data: xr.Dataset) -> list[str]:
    """Return why each contrast has no number within each seed, of one outcome; empty: it has one.

    That is what its runs say of it, or else that there is no run.
    """
    reasons, seeds_of_runs = data["reason"].values, data["seed"].values
    found = []
    for has, row in zip(_runs_of_contrasts(data), _differences(data), strict=True):
        for seed, difference in zip(data["pair"].values, row, strict=True):
            said = dict.fromkeys(reasons[has & (seeds_of_runs == seed)])
            why = "; ".join(filter(None, said)) or MISSING
            found.append(why if np.isnan(difference) else "")
    return found


def _runs_of_contrasts(data: xr.Dataset) -> np.ndarray:
    """Return which runs each contrast is a sum of, bool of shape (contrasts, runs)."""
    setting = data["setting"].transpose("run", "key").values[np.newaxis]
    ends = (data[name].transpose("contrast", "key").values for name in ("before", "after"))
    fits = [(setting == end[:, np.newaxis]) | (end == "")[:, np.newaxis] for end in ends]
    return np.logical_or(*fits).all(axis=-1)


def _differences(data: xr.Dataset) -> np.ndarray:
    return data["difference"].transpose("contrast", "pair").values


def _draw(table: pd.DataFrame) -> Figure:
    if table.empty:
        return style.empty(NO_CONTRAST)
    figure = Strips(DIFFERENCE, of_differences=True).draw(table)
    style.legend_below(figure, [*marks.entries_of_seeds(seeds.by_seed(table)), *_entries(table)])
    return figure


def _entries(table: pd.DataFrame) -> Iterator[tuple[Line2D, str]]:
    color = {"color": style.NEUTRAL}
    lacking = table[(table["series"] == DIFFERENCE) & table["value"].isna()]
    for reason, rows in lacking.groupby("reason", sort=False):
        names = ", ".join(dict.fromkeys(rows["outcome"].str.replace("_", " ")))
        yield Line2D([], [], **color | marks.HOLLOW), f"none ({names}): {reason}"
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
