"""The fraction of tokens that an update left frozen, dead tokens beside live ones.

Dead tokens never occur in the training text; live ones stood in a batch of the run; those that
stood in none, where there are any, were never sampled. A token is frozen at update t if that update
left all components of its row bitwise unchanged; a falling line is a thaw. Of more than 100 updates
bins are drawn: the median of a bin as a line, shaded the range of its updates, over all runs of one
colour. A fraction that jumps from one update to the next is a high band. Runs that differ only in
their seed share a colour: thin lines are single runs, the other line is their mean. A cross marks
the last update of a run that diverged.
"""

from collections.abc import Iterator, Sequence

import pandas as pd

from deadtokens.figures import style
from deadtokens.figures.bins import HIGHEST, even_starts
from deadtokens.figures.columns import DIVERGED_AT, NAMES, TOKENS, in_bins, texts
from deadtokens.figures.curves import curve
from deadtokens.figures.panels import Panel, PanelFigure
from deadtokens.figures.runs import Run, longest, populations

COLUMN = "frozen_fraction"
TYPES = NAMES | texts("series", "population") | TOKENS | in_bins(COLUMN) | DIVERGED_AT


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    starts = even_starts(longest(runs))
    for run in runs:
        for population, tokens in populations(run).items():
            fraction = run.data[COLUMN].sel(population=population)
            yield curve(run, starts, COLUMN, fraction, population=population, tokens=tokens)


def _panels(table: pd.DataFrame) -> list[Panel]:
    kinds = style.populations_in(table)
    ylabel = "fraction of tokens frozen\n(bitwise unchanged by the update)"
    panels = []
    for population in kinds:
        rows = table[table["population"] == population]
        title = _title(population, rows, 104 // len(kinds))
        panels.append(Panel(rows, title, ylabel, lambda axes: axes.set_ylim(-0.03, 1.03)))
    return panels


def _title(population: str, rows: pd.DataFrame, width: int) -> str:
    """Name the population, and the groups whose lines lie on each other at zero."""
    if rows.empty:
        return f"no {population} tokens"
    title = f"{population} tokens (n = {style.number_of(rows['tokens'])})"
    highest = rows.groupby("group", sort=False)[HIGHEST].max()
    still = list(highest.index[highest == 0])
    if not still:
        return title
    names = "all runs" if len(still) == len(highest) else "; ".join(still)
    return f"{title}\n{style.as_drawn(f'0 at every update: {names}', width)}"


FIGURE = PanelFigure(
    column=COLUMN,
    types=TYPES,
    rows=_rows,
    averaged=("population", "tokens"),
    panels=_panels,
    height=2.6,
)
RECIPE = FIGURE.recipe("frozen", "Frozen tokens", "freezing.nc", [COLUMN, "population", "dead"])
