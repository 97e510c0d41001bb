"""Figures of parts of a whole, stacked over bins of updates: what one is, its table, its drawing.

A recipe says what its parts are called and how they look, and what its panels show; who is
gathered in bins, averaged or diverged, and what the title and the legend say of it, stands here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from deadtokens.figures import style
from deadtokens.figures.axes import Grid, label_log_updates, titled_grid
from deadtokens.figures.command import Recipe
from deadtokens.figures.runs import Run, recipe_of_runs

Parts = Mapping[str, tuple[str, str]]  # colour and words of each, by its name
Panels = Sequence[tuple[Sequence[str], pd.DataFrame]]  # the lines of a title, and the rows
GROUP = {"group": "str", "regime": "str", "runs": "int64", "tokens": "int64"}
BIN = {"first_update": "Int64", "last_update": "Int64"}


def label_x(drawing: Grid, table: pd.DataFrame) -> None:
    """Label the horizontal axis, which is logarithmic."""
    for axes in drawing.lowest:
        label_log_updates(axes, table, filled=True)


@dataclass(frozen=True, kw_only=True)
class StackFigure:
    """A figure of parts of a whole that stand on each other, over bins of updates.

    Attributes
    ----------
    part : str
        The column with the names of the parts.
    bin : (str, str)
        The columns with the first and the last update of a bin.
    parts : mapping of str to (str, str)
        From the foot to the top.
    types : mapping of str to str
        The table's columns and their pandas types.
    rows : callable
        Gives the rows of all runs: of a panel one a part and bin; of one without any bin a single
        row without part.
    panels : callable
        Gives each panel's title and rows from the table, row by row.
    columns : callable
        Gives from the table how many panels stand beside each other.
    height : float
        Inches of a panel.
    ylabel : str
    bars : callable, optional
        Draws a panel's rows; else areas are drawn, each the column ``fraction`` high.
    over : callable, optional
        Draws more of a panel's rows over the areas.
    label_x : callable
        Labels the horizontal axis, which all panels share, from the whole table.
    entries : sequence
        What the legend has besides the parts.
    """

    part: str
    bin: tuple[str, str] = tuple(BIN)
    parts: Parts
    types: Mapping[str, str]
    rows: Callable[[Sequence[Run]], Iterable[pd.DataFrame]]
    panels: Callable[[pd.DataFrame], Panels]
    columns: Callable[[pd.DataFrame], int]
    height: float
    ylabel: str
    bars: Callable[[Axes, pd.DataFrame], None] | None = None
    over: Callable[[Axes, pd.DataFrame], None] | None = None
    label_x: Callable[[Grid, pd.DataFrame], None] = label_x
    entries: Sequence[tuple[object, str]] = ()

    def recipe(self, name: str, title: str, file: str, needed: Sequence[str]) -> Recipe:
        """Return what draws it from `file` of each run, which must have the variables `needed`."""
        return recipe_of_runs(
            name, title, file, needed, rows=self.rows, types=self.types, draw=self.draw
        )

    def draw(self, table: pd.DataFrame) -> Figure:
        """Draw the figure from its table alone."""
        titles, tables = zip(*self.panels(table), strict=True)
        drawing = titled_grid(titles, self.columns(table), self.height, 0.4, self.ylabel)
        for axes, rows in zip(drawing.panels, tables, strict=True):
            (self.bars or self._draw_areas)(axes, rows[rows[self.part] != ""])
        self.label_x(drawing, table)
        parts = [(Patch(color=color, linewidth=0), words) for color, words in self.parts.values()]
        style.legend_below(drawing.figure, [*parts, *self.entries])
        return drawing.figure

    def _draw_areas(self, axes: Axes, rows: pd.DataFrame) -> None:
        axes.set_ylim(0, 1)
        if rows.empty:
            return
        first, last = self.bin
        fractions = rows.pivot(index=first, columns=self.part, values="fraction")
        edges = [*fractions.index, rows[last].max() + 1]
        foot = np.zeros(len(fractions))
        for name, (color, _) in self.parts.items():
            top = foot + fractions[name].to_numpy()
            axes.stairs(top, edges, baseline=foot, fill=True, color=color, linewidth=0)
            foot = top
        if self.over:
            self.over(axes, rows)


def of_groups(
    runs: Sequence[Run], rows_of: Callable[[Sequence[Run]], pd.DataFrame]
) -> Iterator[pd.DataFrame]:
    """Yield the rows of each group of runs, with what is known of it.

    `rows_of` gives a group's rows, with the ``tokens`` of its runs.
    """
    for group in dict.fromkeys(run.group for run in runs):
        members = [run for run in runs if run.group == group]
        about = {"group": group, "regime": members[0].regime, "runs": len(members)}
        yield rows_of(members).assign(**about, diverged_at=divergence_of(members))


def divergence_of(runs: Sequence[Run]) -> object:
    """Return the update at which the first of the runs diverged, NA if none did."""
    return min((int(run.data.attrs["diverged_at"]) for run in runs if run.diverged), default=pd.NA)


def mean_fractions(runs: Sequence[pd.DataFrame], starts: np.ndarray, part: str) -> pd.DataFrame:
    """Average parts over the updates of bins, and then over runs as far as all of them go.

    Parameters
    ----------
    runs : sequence of DataFrame
        Each run's parts: a row an update, a column a part.
    starts : ndarray of int
        The first updates of the bins.
    part : str
        What the column with the names of the parts is called.

    Returns
    -------
    DataFrame
        One row a part and bin: ``first_update``, ``last_update``, `part`, ``fraction``. Without any
        bin one row with no part.
    """
    bins = pd.concat([_binned(parts, starts) for parts in runs]).groupby("first_update")
    means = bins.mean().assign(last_update=bins["last_update"].min())
    means = means[bins.size() == len(runs)].reset_index()
    rows = means.melt(list(BIN), var_name=part, value_name="fraction")
    return rows if len(rows) else rows.reindex([0]).assign(**{part: ""})


def _binned(parts: pd.DataFrame, starts: np.ndarray) -> pd.DataFrame:
    updates = parts.index.to_numpy()
    starts = starts[np.searchsorted(starts, updates, side="right") - 1]
    first = pd.Series(starts, updates, name="first_update")
    last = pd.Series(updates, updates).groupby(first).max()
    return parts.groupby(first).mean().assign(last_update=last)


def of_table(table: pd.DataFrame, title: Callable[[pd.DataFrame], Sequence[str]]) -> Panels:
    """Return a panel for each group of runs."""
    return [(title(rows), rows) for _, rows in table.groupby("group", sort=False)]


def group_title(rows: pd.DataFrame, before: str = "") -> str:
    """Write which group of how many runs a panel shows, and at which update the first diverged."""
    first = rows.iloc[0]
    runs = f" ({before}{first['runs']} runs)" if first["runs"] > 1 else ""
    return ": ".join(filter(None, [f"{first['group']}{runs}", divergence(rows)]))


def divergence(rows: pd.DataFrame) -> str:
    """Write at which update the first of a panel's runs diverged, nothing if none did."""
    ended = rows["diverged_at"].min()
    return "" if pd.isna(ended) else f"diverged at update {ended:,}"
