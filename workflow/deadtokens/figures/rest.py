"""Figures of a fraction that an update left at rest, a panel a population: what one is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import xarray as xr

from deadtokens.figures import style
from deadtokens.figures.bins import HIGHEST, even_starts
from deadtokens.figures.columns import DIVERGED_AT, NAMES, TOKENS, in_bins, texts
from deadtokens.figures.command import Recipe
from deadtokens.figures.curves import curve
from deadtokens.figures.panels import Panel, PanelFigure
from deadtokens.figures.runs import Run, longest, populations


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What is at rest.

    Attributes
    ----------
    column : str
        What the fraction is called in the table.
    fraction : callable
        Gives it from a run's freezing, over ``update`` and ``population``.
    ylabel : str
    """

    column: str
    fraction: Callable[[xr.Dataset], xr.DataArray]
    ylabel: str

    @property
    def types(self) -> Mapping[str, str]:
        """The table's columns and their pandas types."""
        return NAMES | texts("series", "population") | TOKENS | in_bins(self.column) | DIVERGED_AT

    def recipe(self, name: str, title: str, needed: Sequence[str]) -> Recipe:
        """Return what draws it from ``freezing.nc`` of each run."""
        figure = PanelFigure(
            column=self.column,
            types=self.types,
            rows=self._rows,
            averaged=("population", "tokens"),
            panels=self._panels,
            height=2.6,
        )
        return figure.recipe(name, title, "freezing.nc", [*needed, "population", "dead"])

    def _rows(self, runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
        starts = even_starts(longest(runs))
        for run in runs:
            fraction = self.fraction(run.data)
            for population, tokens in populations(run).items():
                about = {"population": population, "tokens": tokens}
                values = fraction.sel(population=population)
                yield curve(run, starts, self.column, values, **about)

    def _panels(self, table: pd.DataFrame) -> list[Panel]:
        kinds = style.populations_in(table)
        panels = []
        for population in kinds:
            rows = table[table["population"] == population]
            title = _title(population, rows, 104 // len(kinds))
            panels.append(Panel(rows, title, self.ylabel, lambda axes: axes.set_ylim(-0.03, 1.03)))
        return panels


def _title(population: str, rows: pd.DataFrame, width: int) -> str:
    """Name the population, and the groups whose lines lie on each other at zero."""
    if rows.empty:
        return f"no {population} tokens recorded"
    title = f"{population} tokens (n = {style.number_of(rows['tokens'])})"
    highest = rows.groupby("group", sort=False)[HIGHEST].max()
    still = list(highest.index[highest == 0])
    if not still:
        return title
    names = "all runs" if len(still) == len(highest) else "; ".join(still)
    return f"{title}\n{style.as_drawn(f'0 at every update: {names}', width)}"
