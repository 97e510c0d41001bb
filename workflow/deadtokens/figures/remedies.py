"""What each regime leaves of the freeze, and what it costs, every seed shown.

An experiment that varies the precision alone. Along the axis the bytes that a regime carries for
each parameter from one update to the next: weight, both moments and, where there is one,
compensation; regimes with the same bytes stand beside each other. Above: the fraction of the dead
tokens at rest at the end. Below: the loss, minus that of the control with the same seed (fp32, else
mixed); without a control the loss itself. A dot is a run; the bar is the 95 % interval of the mean
over the seeds, by Student's t, the diamond the mean: one seed has neither. Runs without a number
stand hollow in the strip on top, and the legend says why; their regime then has no mean. A cross is
a run that diverged. Activations and gradients, which are not carried, are not counted.
"""

import textwrap
from itertools import groupby

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deadtokens.comparison.shapes import REGIMES as OF_REGIMES
from deadtokens.figures import marks, seeds, style
from deadtokens.figures.axes import ScaleWithNone
from deadtokens.figures.columns import texts
from deadtokens.figures.marks import BAR, DIAMOND
from deadtokens.figures.seeds import RUN
from deadtokens.run.precision import REGIMES

CONTROLS = ("fp32", "mixed")
LOSS = "loss"
TYPES = seeds.OUTCOME | texts("regime", "control") | {"bytes": "int64"} | seeds.VALUES
HEIGHT = 2.3  # inches, of a panel
TITLE_WIDTH, NAME_WIDTH = 96, 11  # characters
SPREAD, BESIDE = 0.3, 0.28  # of a regime's place: its seeds, and from their middle to the mean
LABEL = {"fontsize": 6.5, "ha": "center", "linespacing": 1.0, "textcoords": "offset points"}
AWAY = 5  # points, of a name from its marks
RULE = {"color": "#d3d3d3", "linewidth": 0.6, "zorder": 0}


def _table(data: xr.Dataset) -> pd.DataFrame:
    """Return a row a run and outcome, and a row a regime: the mean.

    The loss is that minus the one of the ``control``, if there is one.
    """
    regimes = list(map(str, data["regime"].values))
    carried = [REGIMES[name].bytes_per_parameter for name in regimes]
    control = next((name for name in CONTROLS if name in regimes), "")
    runs = seeds.of_runs(data, [data.attrs["primary"], LOSS], bytes=carried, control="")
    if control:
        runs = _against(runs, control)
    order = sorted(REGIMES, key=lambda name: REGIMES[name].bytes_per_parameter)
    runs = runs.sort_values("regime", key=lambda names: names.map(order.index), kind="stable")
    return seeds.with_means(runs, ["regime", "bytes", "control"])


def _against(runs: pd.DataFrame, control: str) -> pd.DataFrame:
    """Return the runs, each loss as its difference to that of the control of the same seed."""
    of_loss = runs["outcome"] == LOSS
    paired = runs[of_loss & (runs["regime"] == control)].set_index("seed")["value"]
    baseline = runs["seed"].map(paired)
    differences = runs["value"] - baseline
    lacking = of_loss & runs["value"].notna() & differences.isna()
    return runs.assign(
        value=runs["value"].mask(of_loss, differences),
        control=runs["control"].mask(of_loss, control),
        reason=runs["reason"].mask(lacking, f"no {LOSS} of {control} with the seed"),
    )


def _draw(table: pd.DataFrame) -> Figure:
    outcomes = [rows for _, rows in table.groupby("outcome", sort=False)]
    figure = style.blank(height=0.4 + HEIGHT * len(outcomes))
    panels = figure.subplots(len(outcomes), 1, sharex=True, squeeze=False)[:, 0]
    regimes = table.drop_duplicates("regime").set_index("regime")["bytes"]
    for axes, rows in zip(panels, outcomes, strict=True):
        _draw_panel(axes, rows, list(regimes.index))
    firsts = dict(zip(panels, [rows.iloc[0] for rows in outcomes], strict=True))
    marks.set_meanings(figure, firsts, TITLE_WIDTH)
    for axes, row in firsts.items():
        against = f",\ndifference to {row['control']}" if row["control"] else ""
        axes.set_ylabel(marks.name_of(row) + against)
        _label_bytes(axes, list(regimes))
    panels[-1].set_xlabel("bytes that a regime carries for each parameter")
    style.legend_below(figure, _entries(table))
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, regimes: list[str]) -> None:
    of_differences = bool(rows["control"].iloc[0])
    scale = marks.scale_of(rows, of_differences)
    apart = marks.shifts(sorted(rows["seed"].dropna().unique()), SPREAD)
    for place, regime in enumerate(regimes):
        members = rows[rows["regime"] == regime]
        runs, color = members[members["series"] == RUN], style.REGIMES[regime].color
        places = place + runs["seed"].map(apart)
        marks.draw_runs(axes, runs, places, scale.place(runs["value"]), color)
        means = seeds.summarized(members)
        axes.vlines([place + BESIDE] * len(means), means["low"], means["high"], **BAR)
        axes.plot([place + BESIDE] * len(means), means["value"], **DIAMOND)
        _name(axes, regime, place, members, scale)
    scale.apply(axes, "y")
    if of_differences:
        axes.axhline(0, **marks.ZERO)


def _name(axes: Axes, regime: str, place: int, members: pd.DataFrame, scale: ScaleWithNone) -> None:
    """Write a regime's name at its marks: towards the middle of the panel, where there is room."""
    ends = pd.concat([members["value"], members["low"], members["high"]]).dropna()
    if members.loc[members["series"] == RUN, "value"].isna().any():
        ends[len(ends)] = scale.high
    lowest, highest = ends.min(), ends.max()
    above = lowest + highest < scale.low + scale.high
    at, away = (highest, AWAY) if above else (lowest, -AWAY)
    text = textwrap.fill(regime, NAME_WIDTH)
    axes.annotate(text, (place, at), (0, away), va="bottom" if above else "top", **LABEL)


def _label_bytes(axes: Axes, carried: list[int]) -> None:
    """Write the bytes below the regimes that carry so many, and part them from others."""
    groups = [(size, len(list(members))) for size, members in groupby(carried)]
    ends = np.cumsum([number for _, number in groups]) - 0.5
    for end in ends[:-1]:
        axes.axvline(end, **RULE)
    middles = ends - [number / 2 for _, number in groups]
    axes.set_xticks(middles, [str(size) for size, _ in groups])
    axes.tick_params(axis="x", length=0, labelbottom=True)
    axes.set_xlim(-0.5, len(carried) - 0.5)


def _entries(table: pd.DataFrame) -> marks.Entries:
    colors = dict.fromkeys(seeds.by_seed(table), style.NEUTRAL)
    return [*marks.entries_of_seeds(colors), *marks.entries_of_missing(table)]


RECIPE = seeds.recipe(
    "remedies",
    "What each regime leaves of the freeze, and what it costs",
    types=TYPES,
    table=_table,
    draw=_draw,
    shape=OF_REGIMES,
)
