"""Named rows of marks, the same in each panel: an outcome a panel, every seed a mark."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deadtokens.figures import marks, seeds, style
from deadtokens.figures.marks import BAR, DIAMOND

COLUMNS = 3
NAME_WIDTH = 34  # characters
TITLE_WIDTH, TITLE_GROWTH = 29, 0.35  # characters beside the longest names, by which these lack
LINE = 0.115  # inches, of a line of a name
BETWEEN = 0.9  # lines, between two names
SPREAD, ABOVE, BELOW = 0.6, 0.2, 0.6  # lines: of the seeds of a name, above it, a mean below it
MARGIN = 0.8  # inches, of a row of panels
NOTHING = "no numbers"
RULE = {"color": "#e8e8e8", "linewidth": 0.5, "zorder": 0}


class Names(NamedTuple):
    """Names as they are drawn, one below the other, and how far from the top each is, in lines."""

    drawn: list[str]
    places: dict[str, float]
    ends: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Names":
        """Return the names in a table, in its order."""
        names = list(dict.fromkeys(table["name"]))
        drawn = [style.as_drawn(name, NAME_WIDTH) for name in names]
        heights = np.array([1 + name.count("\n") + BETWEEN for name in drawn])
        ends = np.cumsum(heights)
        return cls(drawn, dict(zip(names, ends - heights / 2, strict=True)), ends)

    @property
    def longest(self) -> int:
        """The number of characters of the longest line."""
        return max((len(line) for name in self.drawn for line in name.split("\n")), default=0)

    def rule(self, axes: Axes) -> None:
        """Give a panel a row for each name."""
        for end in self.ends[:-1]:
            axes.axhline(end, **RULE)
        axes.set_ylim(self.ends.max(initial=3), 0)
        axes.set_yticks([])

    def label(self, axes: Axes) -> None:
        """Write the names beside a panel."""
        axes.set_yticks(list(self.places.values()), self.drawn, fontsize=6.5)
        axes.tick_params(axis="y", length=0)


@dataclass(frozen=True)
class Strips:
    """What the rows of a figure show.

    Attributes
    ----------
    single : str
        The series of single marks.
    of_differences : bool
        Whether zero is a line.
    """

    single: str
    of_differences: bool = False

    def draw(self, table: pd.DataFrame) -> Figure:
        """Draw a panel an outcome; the legend is left to the figure."""
        outcomes = [rows for _, rows in table.groupby("outcome", sort=False)]
        names, colors = Names.of(table), seeds.by_seed(table)
        lines = -(-len(outcomes) // COLUMNS)
        figure = style.blank(height=lines * (MARGIN + LINE * names.ends.max(initial=3)))
        panels = figure.subplots(lines, COLUMNS, squeeze=False)
        for spare in panels.flat[len(outcomes) :]:
            spare.remove()
        shown = dict(zip(panels.flat, outcomes, strict=False))
        for axes, rows in shown.items():
            self._draw_panel(axes, rows, names, colors)
            axes.set_xlabel(marks.name_of(rows.iloc[0]))
        for axes in panels[:, 0]:
            names.label(axes)
        firsts = {axes: rows.iloc[0] for axes, rows in shown.items()}
        room = NAME_WIDTH - names.longest
        marks.set_meanings(figure, firsts, TITLE_WIDTH + int(room * TITLE_GROWTH))
        return figure

    def _draw_panel(
        self, axes: Axes, rows: pd.DataFrame, names: Names, colors: dict[int, str]
    ) -> None:
        scale = marks.scale_of(rows, self.of_differences)
        single = rows[rows["series"] == self.single]
        apart = marks.shifts(colors, SPREAD)
        for seed, runs in single.groupby("seed"):
            x, y = scale.place(runs["value"]), runs["name"].map(names.places) + apart[seed] - ABOVE
            marks.draw_runs(axes, runs, x, y, colors[seed])
        means = seeds.summarized(rows)
        places = means["name"].map(names.places) + BELOW
        axes.hlines(places, means["low"], means["high"], **BAR)
        for whole, face in ((True, "black"), (False, "white")):
            chosen = (means["seeds"] == len(colors)) == whole
            axes.plot(means["value"][chosen], places[chosen], **DIAMOND, markerfacecolor=face)
        names.rule(axes)
        scale.apply(axes, "x", most_ticks=3)
        if not scale.has_numbers:
            axes.text(0.4, 0.5, NOTHING, transform=axes.transAxes, **style.SAID)
        elif self.of_differences:
            axes.axvline(0, **marks.ZERO)
