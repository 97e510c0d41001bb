"""How parts of a motion are drawn: bars over ranges of updates, forward and backward apart.

A part's bar is its projection on the motion, relative to the sum of the sizes of all parts: what
pushes forward stands above zero, what pulls back below, and together they are one high. Shares of
the displacement itself would not do: where rounding takes back most of a step, they are tens.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from deadtokens.figures import stacks, style
from deadtokens.figures.axes import Grid
from deadtokens.figures.columns import DIVERGED_AT, numbers, texts
from deadtokens.figures.command import Recipe
from deadtokens.figures.runs import Run, longest
from deadtokens.run.spec import DEFAULTS

PER_DECADE = 2  # ranges of updates
POPULATION = "dead"
TYPES = stacks.GROUP | stacks.BIN | texts("part") | numbers("share", "bar", "steady") | DIVERGED_AT
LAST = 0.995  # where the last part ends there is nothing to meet
STRIP = (1.08, 1.32)  # above the bars, which end at 1
WIDTH = 0.94  # of a bar, of the distance between two
NET = {"color": "black", "linewidth": 1.6}
STEADY = {"color": "white", "linewidth": 1.1, "linestyle": (0, (1.5, 1)), "solid_capstyle": "butt"}
STEADY |= {"path_effects": [withStroke(linewidth=2.0, foreground="black")]}


def edges(last: int) -> list[int]:
    """Return the first updates of the ranges, and one beyond the last update.

    Ranges grow by half a decade: 1, 3, 10, 32, 100, ...
    """
    count = int(np.ceil(PER_DECADE * np.log10(max(last, 1)))) + 1
    firsts = {round(10 ** (power / PER_DECADE)) for power in range(count)}
    return [*sorted(first for first in firsts if first <= last), last + 1]


@dataclass(frozen=True, kw_only=True)
class Motion:
    """The parts of a motion, as a figure shows them.

    Attributes
    ----------
    share, axis : str
        The variable with the shares of the centroid's displacement, and its axis of parts.
    parts : mapping of str to (str, str)
        Each part's colour and words, in the order in which they are drawn.
    ages : mapping of str to (int, int)
        Of parts that are gradients: the age of the youngest, in updates, and of the first too old.
    of_all : bool
        Shares are relative to the displacement; else to the sum of the parts.
    ylabel : str
    remains : str
        What the line across a bar shows.
    """

    share: str
    axis: str
    parts: stacks.Parts
    ages: Mapping[str, tuple[int, float]]
    of_all: bool
    ylabel: str
    remains: str

    def recipe(self, name: str, title: str) -> Recipe:
        """Return what draws it.

        The table has one row a group of runs, range of updates and part: ``share`` (NaN where
        nothing moved), ``bar``, as drawn, and ``steady``, the share if the gradient had been the
        same at every update. Runs that differ only in their seed are summed up.
        """
        colors = {words: color for color, words in self.parts.values()}
        cell = Patch(facecolor="white", edgecolor=style.NEUTRAL, linewidth=0.6)
        remains = (Line2D([], [], **NET), f"what remains: {self.remains}")
        figure = stacks.StackFigure(
            part="part",
            parts=self.parts,
            types=TYPES,
            rows=lambda runs: stacks.of_groups(runs, self._rows),
            panels=lambda table: stacks.of_table(table, _title),
            columns=lambda table: min(table["group"].nunique(), 2),
            height=2.3,
            ylabel=self.ylabel,
            bars=lambda axes, rows: _draw_panel(axes, rows, colors),
            label_x=_label,
            entries=[
                remains,
                (Line2D([], [], **STEADY), "parts of a gradient that does not change"),
                (cell, "strip: leading part, its share"),
            ],
        )
        needed = [self.share, self.axis, "centroid_displacement_norm", "tokens", "population"]
        return figure.recipe(name, title, "attribution.nc", needed)

    def _rows(self, runs: Sequence[Run]) -> pd.DataFrame:
        tokens = max(int(run.data["tokens"].sel(population=POPULATION)) for run in runs)
        if not (tokens and longest(runs)):
            return pd.DataFrame({"tokens": [tokens], "part": [""]})
        ranges = edges(longest(runs))
        sums = sum(self._projections(run, ranges) for run in runs)
        moved, along, steady = sums[:, :1], *np.split(sums[:, 1:], 2, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = along / (moved if self.of_all else along.sum(axis=1, keepdims=True))
            bars = along / np.abs(along).sum(axis=1, keepdims=True)
            steady = steady / moved
        bins = pd.DataFrame({"first_update": ranges[:-1], "last_update": np.array(ranges[1:]) - 1})
        parts = pd.DataFrame({"part": [words for _, words in self.parts.values()]})
        rows = bins.merge(parts, how="cross")
        columns = {"share": shares.ravel(), "bar": bars.ravel(), "steady": steady.ravel()}
        return rows.assign(tokens=tokens, **columns)

    def _steady(self, beta1: float, updates: np.ndarray) -> np.ndarray:
        """Return the parts that a gradient would have that never changed, (updates, parts)."""
        parts = np.zeros((len(updates), len(self.parts)))
        for place, name in enumerate(self.parts):
            if name in self.ages:
                parts[:, place] = steady_share(beta1, *self.ages[name], updates)
        return parts

    def _projections(self, run: Run, ranges: Sequence[int]) -> np.ndarray:
        """Return sums over each range of <d, d>, <part, d>, and <d, d> times each steady part.

        d is a displacement.
        """
        of = run.data.sel(population=POPULATION)
        squared = of["centroid_displacement_norm"].values[:, None] ** 2
        shares = of[self.share].sel({self.axis: list(self.parts)}).transpose("update", self.axis)
        before = int(run.data.attrs.get("updates_before", 0))
        steady = self._steady(_beta1(run), of["update"].values + before)
        values = np.hstack([squared, shares.values * squared, steady * squared])
        values[~np.isfinite(values)] = 0.0  # at rest, or the last state of a run that diverged
        updates = of["update"].values
        return np.stack(
            [
                values[(updates >= first) & (updates < beyond)].sum(axis=0)
                for first, beyond in pairwise(ranges)
            ]
        )


def steady_share(beta1: float, youngest: int, beyond: float, updates: np.ndarray) -> np.ndarray:
    """Return what gradients of some ages have in Adam's update if all gradients are the same.

    The first moment is the sum over ages k < t of (1 - beta1) beta1^k g, so ages from a to b - 1
    have (beta1^a - beta1^b) / (1 - beta1^t), ages beyond the first update left out. It is an
    identity, whatever the gradient: momentum, all ages but 0, has beta1 once t is large.

    Parameters
    ----------
    beta1 : float
    youngest, beyond : int
        a and b, b may be infinite.
    updates : ndarray of int, shape (updates,)
        t.

    Returns
    -------
    float64 ndarray, shape (updates,)
    """
    first, last = np.minimum(youngest, updates), np.minimum(beyond, updates)
    return (beta1**first - beta1**last) / (1 - beta1 ** updates.astype(np.float64))


def _beta1(run: Run) -> float:
    if "beta1" in run.data.attrs:
        return float(run.data.attrs["beta1"])
    return json.loads(run.data.attrs["spec"]).get("beta1", DEFAULTS.beta1)


def _draw_panel(axes: Axes, rows: pd.DataFrame, colors: Mapping[str, str]) -> None:
    axes.axhline(0, color="black", linewidth=0.6, zorder=3)
    rows = rows.assign(place=_places(rows["first_update"]) + 0.5)
    bars, shares = (rows.pivot(index="place", columns="part", values=of) for of in ("bar", "share"))
    moving = bars.dropna()
    for place in bars.index.difference(moving.index):
        axes.text(place, 0.5, "at rest", ha="center", va="center", fontsize=6)
    if len(moving):
        steady = rows.pivot(index="place", columns="part", values="steady").loc[moving.index]
        _draw_bars(axes, moving, steady, colors)
        _name_leaders(axes, moving.idxmax(axis=1), shares, colors)


def _places(firsts: pd.Series) -> pd.Series:
    """Return the numbers of ranges from their first updates: all are drawn equally wide."""
    return np.round(PER_DECADE * np.log10(firsts.astype(float)))


def _draw_bars(
    axes: Axes, bars: pd.DataFrame, steady: pd.DataFrame, colors: Mapping[str, str]
) -> None:
    """Draw parts on each other, those below zero downwards, and across them what remains.

    Dotted is where they would meet if the gradient did not change.
    """
    top = bottom = np.zeros(len(bars))
    for part, color in colors.items():
        height = bars[part].to_numpy()
        foot = np.where(height >= 0, top, bottom)
        axes.bar(bars.index, height, WIDTH, foot, color=color, linewidth=0)
        top, bottom = np.maximum(top, foot + height), np.minimum(bottom, foot + height)
    ends = np.array([bars.index - WIDTH / 2, bars.index + WIDTH / 2])
    meeting = steady[list(colors)].cumsum(axis=1).to_numpy()
    for heights in np.where((steady[list(colors)] > 0) & (meeting < LAST), meeting, np.nan).T:
        axes.plot(ends, [heights] * 2, **STEADY, zorder=4)
    axes.plot(ends, [bars.sum(axis=1)] * 2, **NET, solid_capstyle="butt", zorder=4)


def _name_leaders(
    axes: Axes, leaders: pd.Series, shares: pd.DataFrame, colors: Mapping[str, str]
) -> None:
    """Fill the strip's cells with the colour of the part that pushes most, and its share."""
    low, high = STRIP
    look = {"color": leaders.map(colors), "linewidth": 0, "clip_on": False}
    cells = axes.bar(leaders.index, high - low, WIDTH, low, **look)
    amounts = [_amount(shares.loc[place, part]) for place, part in leaders.items()]
    texts = axes.bar_label(cells, amounts, label_type="center", fontsize=6)
    for text, part in zip(texts, leaders, strict=True):
        text.set_color(style.ink(colors[part]))


def _amount(share: float) -> str:
    """Write a share: in per cent as long as that is short, else as a multiple."""
    if abs(share) < 2:
        return f"{share:.0%}"
    return f"× {share:.1f}" if abs(share) < 10 else f"× {share:,.0f}"


def _title(rows: pd.DataFrame) -> list[str]:
    return [stacks.group_title(rows) + ("" if rows["tokens"].iloc[0] else ": no dead tokens")]


def _label(drawing: Grid, table: pd.DataFrame) -> None:
    _set_limits(drawing.panels[0], table)
    ends = f"{table['last_update'].max():,}" if table["last_update"].notna().any() else "none"
    for axes in drawing.lowest:
        axes.set_xlabel(f"range of updates; the last ends with {ends}")


def _set_limits(axes: Axes, table: pd.DataFrame) -> None:
    beyond = int(_places(table["first_update"]).max()) + 1 if table["bar"].notna().any() else 1
    below = table[table["bar"] < 0].groupby(["group", "first_update"])["bar"].sum()
    axes.set_xlim(WIDTH - 1, beyond + 1 - WIDTH)
    axes.set_ylim(min(-0.05, 1.1 * below.min()) if len(below) else -0.05, STRIP[1])
    decades = range(0, beyond + 1, PER_DECADE)
    axes.set_xticks(decades, [f"{10 ** (place // PER_DECADE):,}" for place in decades])
    axes.set_xticks(range(beyond + 1), minor=True)
    axes.set_yticks([tick for tick in (-0.5, 0, 0.5, 1) if tick >= axes.get_ylim()[0]])
