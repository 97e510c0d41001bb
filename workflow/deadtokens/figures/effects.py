"""What the runs of an experiment come to, and what changing one setting does, every seed shown.

A row of panels for the primary outcome, which was named before any run was compared, and one for
each of a few secondary ones. Left: the outcome of every run; a line joins the runs of a seed.
Right: how much it differs, within each seed, from the baseline (zero, dashed), where one setting is
changed and all else is equal; where two settings are varied over a full grid, also the mean effects
of one over the values of the other, and their interactions. A small dot is a seed; below the dots
the diamond is their mean, the bar its 95 % interval by Student's t over the seeds, for each effect
alone. One seed has no interval. A run that lacks an outcome, as an update that was not reached, has
no dot. All other outcomes stand in the experiment's outcomes.csv and effects.csv.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from deadtokens.figures import command, style
from deadtokens.figures.columns import numbers, texts, typed
from deadtokens.figures.inputs import only, open_dataset

SECONDARY = ("still", "half_frozen", "thaws", "path_length", "loss")
VARIABLES = (
    *("outcome", "meaning", "unit", "run", "group", "seed", "value"),
    *("contrast", "pair", "difference", "mean", "low", "high", "pairs"),
)
RUN, DIFFERENCE, MEAN = "run", "difference", "mean"
NO_INTERVAL = "one seed: no interval"
NO_CONTRAST = "no setting is changed alone"
NO_NUMBER = "no run has a number"
NO_PAIR = "no pair of runs has a number"
TYPES = (
    texts("outcome", "meaning", "unit", "series", "name", "run")
    | {"seed": "Int64"}
    | numbers("value", "low", "high")
    | {"pairs": "Int64"}
)
SEED_COLORS = ("#1f4e79", "#e08a4e")
JOINED = {"color": style.NEUTRAL, "linewidth": 0.5, "zorder": 1}
DOT = {"linestyle": "", "marker": "o", "markersize": 3.2, "zorder": 2}
DIAMOND = {"linestyle": "", "marker": "D", "markersize": 3.4, "color": "black", "zorder": 3}
BAR = {"color": "black", "linewidth": 1.1, "zorder": 3}
NAME_WIDTHS = {RUN: 28, MEAN: 38}  # characters
TITLE_WIDTH = 100
LINE = 0.115  # inches, of a line of a name
BETWEEN = 0.6  # lines, between two names
BELOW = 0.5  # lines, of a mean below its seeds
MARGIN = 0.8  # inches, of a row of panels


def open_outcomes(paths: Sequence[Path]) -> list[xr.Dataset]:
    """Read the outcomes of an experiment.

    Raises
    ------
    UserError
        If the file is missing, unreadable or holds no outcomes.
    """
    return [open_dataset(path, VARIABLES, ("primary",)) for path in paths]


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of one Dataset
        An experiment's outcomes, as `deadtokens.comparison.outcomes` makes them.

    Returns
    -------
    DataFrame
        For each outcome shown a row a run (``series`` "run", named by its settings without the
        seed), a row a contrast and seed ("difference"), and a row a contrast ("mean", with the ends
        of its interval and the number of seeds).

    Raises
    ------
    UserError
        If there are several experiments.
    """
    data = only(datasets)
    shown = [name for name in (data.attrs["primary"], *SECONDARY) if name in data["outcome"]]
    rows = [row for outcome in shown for row in _rows(data.sel(outcome=outcome), outcome)]
    return typed(pd.concat(rows, ignore_index=True), TYPES)


def _rows(data: xr.Dataset, outcome: str) -> Iterator[pd.DataFrame]:
    about = {"outcome": outcome, **{name: str(data[name].values) for name in ("meaning", "unit")}}
    runs = {"name": data["group"], "run": data["run"], "seed": data["seed"], "value": data["value"]}
    yield pd.DataFrame(runs).assign(series=RUN, **about)
    contrasts, seeds = data["contrast"].values, data["pair"].values
    differences = {
        "name": np.repeat(contrasts, len(seeds)),
        "seed": np.tile(seeds, len(contrasts)),
        "value": data["difference"].values.ravel(),
    }
    yield pd.DataFrame(differences).assign(series=DIFFERENCE, run="", **about)
    means = {name: data[name] for name in ("low", "high", "pairs")}
    yield pd.DataFrame({"name": contrasts, "value": data["mean"], **means}).assign(
        series=MEAN, run="", **about
    )


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    outcomes = [rows for _, rows in table.groupby("outcome", sort=False)]
    runs, effects = (_Names.of(table, series) for series in (RUN, MEAN))
    seeds = sorted(table["seed"].dropna().unique())
    colors = dict(zip(seeds, style.shades(SEED_COLORS, len(seeds)), strict=True))
    height = MARGIN + LINE * max(runs.lines, effects.lines)
    figure = style.blank(height=height * len(outcomes))
    parts = figure.subfigures(len(outcomes), 1, squeeze=False)
    for part, rows in zip(parts.flat, outcomes, strict=True):
        left, right = part.subplots(1, 2)
        _draw_runs(left, rows[rows["series"] == RUN], runs, colors)
        _draw_effects(right, rows, effects, colors)
        _say_what(part, left, right, rows.iloc[0])
    style.legend_below(figure, _entries(colors))
    return figure


def _say_what(part: SubFigure, left: Axes, right: Axes, row: pd.Series) -> None:
    title = f"{row['outcome'].replace('_', ' ')}: {row['meaning']}"
    look = {"fontsize": 8, "fontweight": "normal"}
    part.suptitle(style.as_drawn(title, TITLE_WIDTH), x=0.01, ha="left", **look)
    unit = "" if row["unit"] == "1" else f" [{style.as_drawn(row['unit'])}]"
    left.set_xlabel(f"every run{unit}")
    right.set_xlabel(f"difference{unit}")


class _Names(NamedTuple):
    """Names as they are drawn, one below the other, and how far from the top each is, in lines."""

    drawn: list[str]
    places: dict[str, float]
    lines: float

    @classmethod
    def of(cls, table: pd.DataFrame, series: str) -> "_Names":
        names = list(dict.fromkeys(table.loc[table["series"] == series, "name"]))
        drawn = [style.as_drawn(name, NAME_WIDTHS[series]) for name in names]
        heights = np.array([1 + name.count("\n") + BETWEEN for name in drawn])
        ends = np.cumsum(heights)
        places = dict(zip(names, ends - heights / 2, strict=True))
        return cls(drawn, places, max(3.0, ends.max(initial=0)))

    def label(self, axes: Axes) -> None:
        axes.set_yticks(list(self.places.values()), self.drawn, fontsize=6.5)
        axes.set_ylim(self.lines, 0)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter("{x:.6g}")


def _draw_runs(axes: Axes, rows: pd.DataFrame, names: _Names, colors: dict) -> None:
    """Draw the outcome of every run, those of a seed joined."""
    known = rows[rows["value"].notna()]
    for seed, runs in known.groupby("seed"):
        places = runs["name"].map(names.places)
        if len(colors) > 1:
            axes.plot(runs["value"], places, **JOINED)
        axes.plot(runs["value"], places, color=colors[seed], **DOT)
    names.label(axes)
    if known.empty:
        _say(axes, NO_NUMBER)


def _draw_effects(axes: Axes, rows: pd.DataFrame, names: _Names, colors: dict) -> None:
    """Draw the differences of every seed, their means, and intervals where there are any."""
    known = rows[rows["value"].notna()]
    differences = known[known["series"] == DIFFERENCE]
    for seed, pairs in differences.groupby("seed"):
        axes.plot(pairs["value"], pairs["name"].map(names.places), color=colors[seed], **DOT)
    means = known[(known["series"] == MEAN) & (known["pairs"] > 1)]
    places = means["name"].map(names.places) + BELOW
    axes.hlines(places, means["low"], means["high"], **BAR)
    axes.plot(means["value"], places, **DIAMOND)
    names.label(axes)
    if not names.places:
        _say(axes, NO_CONTRAST)
    elif differences.empty:
        _say(axes, NO_PAIR)
    else:
        axes.axvline(0, color=style.NEUTRAL, linewidth=0.8, linestyle=(0, (4, 2)), zorder=0)


def _say(axes: Axes, reason: str) -> None:
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", fontsize=7.5)
    axes.set_xticks([])


def _entries(colors: dict) -> list[tuple[Line2D, str]]:
    dots = [(Line2D([], [], color=colors[seed], **DOT), f"seed {seed}") for seed in colors]
    if len(colors) == 1:
        return [(dots[0][0], f"{dots[0][1]} ({NO_INTERVAL})")]
    mean = Line2D([], [], **DIAMOND | {"linestyle": "-", "linewidth": BAR["linewidth"]})
    return [*dots, (mean, "mean of the seeds, 95 % interval")]


RECIPE = command.Recipe(
    name="effects",
    title="What changing one setting does",
    inputs="outcomes.nc of an experiment",
    open=open_outcomes,
    table=table,
    draw=draw,
)
