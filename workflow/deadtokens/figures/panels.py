"""Figures of panels with lines: what one is (`PanelFigure`), its table and its drawing.

A recipe says what its runs have (rows of a table), what its panels show, and how lines are drawn
if not one a run. All the rest, as who is averaged, what diverged and what the legend says of it,
stands here once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deadtokens.figures import style
from deadtokens.figures.axes import grid, label_updates
from deadtokens.figures.command import Recipe
from deadtokens.figures.curves import mean_over_runs
from deadtokens.figures.lines import (
    divergence_entries,
    draw_groups,
    group_entries,
    mark_divergences,
    range_entries,
    strokes,
)
from deadtokens.figures.runs import DIVERGED, Run, recipe_of_runs

Strokes = Mapping[str, style.Stroke]
Entries = Iterable[tuple[object, str]]


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Attributes
    ----------
    rows : DataFrame
        Of the figure's table, as high as they are drawn.
    title, ylabel : str
    scale : callable
        Gives the vertical axis its scale once the lines are drawn.
    """

    rows: pd.DataFrame
    title: str = ""
    ylabel: str = ""
    scale: Callable[[Axes], object] = lambda axes: None


def of_runs(table: pd.DataFrame, width: int) -> list[tuple[str, pd.DataFrame]]:
    """Return each run's label, on lines of `width` characters, and its rows."""
    runs = list(dict.fromkeys(table["run"]))
    by_run = [table[table["run"] == run] for run in runs]
    return [(style.as_drawn(rows["label"].iloc[0], width), rows) for rows in by_run]


def run_entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    """Return the legend's entries for lines of runs, gathered in bins or not."""
    return [*group_entries(table, strokes), *range_entries(table)]


@dataclass(frozen=True, kw_only=True)
class PanelFigure:
    """A figure of panels with lines, the same in each.

    Attributes
    ----------
    column : str
        The column of the table that is drawn upwards.
    types : mapping of str to str
        The table's columns and their pandas types.
    rows : callable
        Gives the rows of all runs, in the order in which they are drawn.
    averaged : sequence of str
        If not empty, lines of runs that differ in their seed are averaged where they agree in
        these columns and in the updates.
    panels : callable
        Gives the panels from the table, row by row.
    lines : callable, optional
        Draws a panel's rows; else they are one line a run.
    by : str
        The column that tells strokes apart: ``group`` or ``population``.
    mark : callable
        Marks where lines of diverged runs end.
    columns : callable
        Gives from the number of panels how many stand beside each other.
    height, margin : float
        Inches: of a row of panels, and of what stands above or below all of them.
    sharey : bool or str
        Which panels have one vertical axis; its label stands once.
    label_x : callable
        Labels the horizontal axis, which all panels share, from the whole table.
    entries : callable
        Gives the legend's entries, those of diverged runs excepted.
    nothing : str
        What is said if the table has no rows.
    """

    column: str
    types: Mapping[str, str]
    rows: Callable[[Sequence[Run]], Iterable[pd.DataFrame]]
    averaged: Sequence[str] = ()
    panels: Callable[[pd.DataFrame], Sequence[Panel]]
    lines: Callable[[Axes, pd.DataFrame, Strokes], None] | None = None
    by: str = "group"
    mark: Callable[[Axes, pd.DataFrame, str, str, Strokes], object] = mark_divergences
    columns: Callable[[int], int] = int
    height: float
    margin: float = 0.0
    sharey: bool | str = True
    label_x: Callable[[Axes, pd.DataFrame], None] = label_updates
    entries: Callable[[pd.DataFrame, Strokes], Entries] = run_entries
    nothing: str = "no dead tokens"

    def recipe(
        self, name: str, title: str, file: str, needed: Sequence[str], axis: str = "update"
    ) -> Recipe:
        """Return what draws it from `file` of each run, which must have the variables `needed`.

        Along `axis` the run goes.

        Rows of the table are those of `rows`; ``series`` tells single lines, means of runs and the
        ends of diverged runs (at ``diverged_at``) apart. Where updates are gathered in bins, from
        ``update`` to ``last_update``, values are their median, ``lowest`` and ``highest``.
        """
        return recipe_of_runs(
            name, title, file, needed, rows=self._rows, types=self.types, draw=self.draw, axis=axis
        )

    def _rows(self, runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
        """Yield the rows of `rows`, and the means over runs."""
        rows = list(self.rows(runs))
        yield from rows
        if self.averaged and rows:
            table = pd.concat(rows, ignore_index=True)
            lines = table[(table["series"] != DIVERGED) & (table["run"] != "")]
            yield mean_over_runs(lines, [*self.averaged, "update", "last_update"], self.column)

    def draw(self, table: pd.DataFrame) -> Figure:
        """Draw the figure from its table alone."""
        if table.empty:
            return style.empty(self.nothing)
        panels = self.panels(table)
        of_runs = table[table["group"] != ""]
        looks = strokes(of_runs) if self.by == "group" else style.OF_POPULATIONS
        columns = self.columns(len(panels))
        drawing = grid(len(panels), columns, self.height, self.margin, self.sharey)
        shown = dict(zip(drawing.panels, panels, strict=True))
        for axes, panel in shown.items():
            self._draw_lines(axes, panel, looks)
        for axes in drawing.left if self.sharey in (True, "row") else drawing.panels:
            axes.set_ylabel(shown[axes].ylabel)
        style.set_titles(drawing.figure, {axes: panel.title for axes, panel in shown.items()})
        for axes in drawing.lowest:
            self.label_x(axes, of_runs)
        for axes, panel in shown.items():  # now that all axes have their ends
            self._mark_ends(axes, panel, looks)
        entries = [*self.entries(table, looks), *divergence_entries(table)]
        style.legend_below(drawing.figure, entries)
        return drawing.figure

    def _draw_lines(self, axes: Axes, panel: Panel, looks: Strokes) -> None:
        rows = panel.rows[panel.rows["series"] != DIVERGED]
        if self.lines is None:
            draw_groups(axes, rows, self.column, looks)
        else:
            self.lines(axes, rows, looks)
        panel.scale(axes)

    def _mark_ends(self, axes: Axes, panel: Panel, looks: Strokes) -> None:
        if (panel.rows["series"] == DIVERGED).any():
            self.mark(axes, panel.rows, self.column, self.by, looks)
