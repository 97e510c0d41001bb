"""What holds the dead tokens when a setting is another, as a matrix.

A row a setting of the experiment, in most of which one wall is removed. Left: of all components of
dead tokens that an update left as they were, over the whole run, the fractions that each cause held
(see the figure ``causes``). They sum to 1 however few stood still; where less than 1 % of all
components were at rest, which is little to take fractions of, they are grey. Right: what is left of
the freeze, as fractions of the tokens (frozen) and of their components (still) at rest at the end,
and of the components over the run; and the loss. A cell has the mean over the seeds and below it
how far its 95 % interval by Student's t reaches to each side; with one seed the number alone. The
ticks at a cell's foot are the seeds, from 0 at its left edge to 1 at its right; of the loss, from
the least of all runs to the largest. "none": a run has no number, and the legend says why. The
order of causes gives "below half an ulp" the first word: what is below it even with exact moments
is counted there, whatever else would have held it, and along a path that is frozen already little
is left to the others. So the left part is a counterfactual along the path that was taken; the right
one is what a training came to without the wall. Where they disagree, the right one decides.
"""

import numpy as np
import pandas as pd
import seaborn
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.comparison.intervals import FEWEST
from deadtokens.comparison.shapes import SEVERAL
from deadtokens.figures import marks, seeds, style
from deadtokens.figures.columns import texts
from deadtokens.figures.seeds import MEAN, RUN

CAUSE, REST, LOSS = "cause_", "", "loss"  # parts of the matrix: how their outcomes begin
STILL, ALL_STILL = "still", "still_over_run"
TYPES = seeds.OUTCOME | texts("name") | seeds.VALUES
NAME_WIDTH = 26  # characters
CELL, LINE = 0.36, 0.125  # inches: a row, a line of a name
FIRST, LAST = 0.08, 0.92  # of a cell's width: where its ticks of 0 and 1 stand
NONE, SMALLEST = "none", 0.005  # nearer to 0 or 1, two decimals would say that it is
NUMBER = {"fontsize": 6.5, "ha": "center", "va": "center", "linespacing": 1.1}
HEADS = {
    CAUSE: "of the components at rest over the run, held by",
    REST: "at rest, of all",
    LOSS: "",
}
SCALES = {CAUSE: ("Blues", (0, 1)), REST: ("Purples", (0, 1)), LOSS: ("Greys", None)}
LITTLE = 0.01  # of all components: fractions of it are hardly anything
FAINT = "#999999"
PLUS_MINUS = "mean of the seeds; ±: how far its 95 % interval reaches"
TICKS = "ticks at a cell's foot: the seeds, from 0 to 1 (loss: from the least to the largest)"


def _table(data: xr.Dataset) -> pd.DataFrame:
    """Return a row a run and outcome, and a row a setting: the mean."""
    causes = [name for name in map(str, data["outcome"].values) if name.startswith(CAUSE)]
    shown = [*causes, data.attrs["primary"], STILL, ALL_STILL, LOSS]
    runs = seeds.of_runs(data, shown, name=data["group"].values)
    return seeds.with_means(runs, ["name"])


def _part(outcome: str) -> str:
    """Return to which part of the matrix an outcome belongs."""
    return next(part for part in (CAUSE, LOSS, REST) if outcome.startswith(part))


def _draw(table: pd.DataFrame) -> Figure:
    names = list(dict.fromkeys(table["name"]))
    parts = dict(list(table.groupby(table["outcome"].map(_part), sort=False)))
    drawn = [style.as_drawn(name, NAME_WIDTH) for name in names]
    lines = max(1 + name.count("\n") for name in drawn)
    figure = style.blank(height=1.8 + max(CELL, LINE * lines) * len(names))
    widths = [rows["outcome"].nunique() for rows in parts.values()]
    panels = figure.subplots(1, len(parts), width_ratios=widths, squeeze=False)[0]
    moving = _hardly_still(table)
    for axes, (part, rows) in zip(panels, parts.items(), strict=True):
        _draw_part(axes, rows, names, *SCALES[part], faint=moving if part == CAUSE else [])
        axes.set_title(HEADS[part], fontsize=marks.SMALL)
    panels[0].set_yticks(np.arange(len(names)) + 0.5, drawn, rotation=0, fontsize=6.5)
    notes = [TICKS]
    if (table["seeds"] >= FEWEST).any():
        notes.insert(0, PLUS_MINUS)
    notes += [f"{NONE}: {reason}; {number}" for reason, _, number in seeds.missing(table)]
    if moving:
        notes.append(f"grey: fractions of less than {100 * LITTLE:g} % of the components")
    blank = Line2D([], [], linestyle="none")
    style.legend_below(figure, [(blank, note) for note in notes])
    return figure


def _hardly_still(table: pd.DataFrame) -> list[str]:
    """Return the settings of which hardly a component was at rest: causes then say little."""
    still = table[(table["outcome"] == ALL_STILL) & (table["series"] == MEAN)]
    return list(still.loc[still["value"] < LITTLE, "name"])


def _draw_part(
    axes: Axes,
    rows: pd.DataFrame,
    names: list[str],
    color: str,
    ends: tuple[float, float] | None,
    faint: list[str],
) -> None:
    """Draw a cell a setting and outcome: the mean as colour and number, the seeds as ticks.

    Colours and ticks reach from one of the `ends` to the other; else over the numbers of all runs.
    Settings that are `faint` have no colour.
    """
    outcomes = list(dict.fromkeys(rows["outcome"]))
    cells = dict(list(rows.groupby(["name", "outcome"], sort=False)))
    means = rows[rows["series"] == MEAN].pivot(index="name", columns="outcome", values="value")
    means = means.loc[names, outcomes]
    means.loc[faint] = np.nan  # has no colour
    low, high = ends or (rows["value"].min(), rows["value"].max())
    scale = {"cmap": color, "vmin": low, "vmax": high} if low <= high else {"vmin": 0, "vmax": 1}
    look = {"cbar": False, "linewidths": 1, "xticklabels": [], "yticklabels": []}
    seaborn.heatmap(means, ax=axes, **look, **scale)
    (mesh,) = axes.collections
    for (name, outcome), cell in cells.items():
        place, ground = (outcomes.index(outcome), names.index(name)), means.loc[name, outcome]
        on_white = FAINT if name in faint else "black"
        ink = on_white if np.isnan(ground) else style.ink(mesh.to_rgba(ground)[:3])
        single = cell.loc[cell["series"] == RUN, "value"].dropna()
        parts = (single - low) / ((high - low) or 1)
        _fill(axes, place, _written(cell[cell["series"] == MEAN].iloc[0]), parts, ink)
    heads = [_head(cells[names[0], outcome]) for outcome in outcomes]
    axes.set_xticks(np.arange(len(heads)) + 0.5, heads, rotation=90, fontsize=6.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set(xlabel="", ylabel="")


def _fill(axes: Axes, place: tuple[int, int], text: str, parts: pd.Series, ink: str) -> None:
    """Write into a cell, and put ticks at its foot: `parts` of the way along it."""
    column, line = place
    axes.text(column + 0.5, line + 0.43, text, color=ink, **NUMBER)
    along = column + FIRST + (LAST - FIRST) * parts
    axes.vlines(along, line + 0.84, line + 0.94, color=ink, linewidth=0.9)


def _written(mean: pd.Series) -> str:
    """Write a mean over seeds, below it how far its interval reaches to each side."""
    if np.isnan(mean["value"]):
        return NONE
    value = _amount(mean["value"])
    if mean["seeds"] < FEWEST:
        return value
    return f"{value}\n± {_amount(mean['high'] - mean['value'])}"


def _amount(value: float) -> str:
    if 0 < value < SMALLEST:
        return f"<{2 * SMALLEST}"
    return f">{1 - 2 * SMALLEST}" if 1 - SMALLEST <= value < 1 else f"{value:.2f}"


def _head(rows: pd.DataFrame) -> str:
    return marks.name_of(rows.iloc[0]).removeprefix(CAUSE.replace("_", " "))


RECIPE = seeds.recipe(
    "walls",
    "What holds the dead tokens, and what is left of the freeze",
    types=TYPES,
    table=_table,
    draw=_draw,
    shape=SEVERAL,
)
