"""How far one update moves a token, as quantiles over dead and over live tokens.

Drawn is the displacement, the L2 norm of W[t] - W[t-1]. Lines are medians over the dead tokens,
over the live ones (which stood in a batch of the run) and, where there are any, over those that
occur in the text but stood in none; bands hold the middle 50 % and the middle 90 % of the dead and
of the live tokens of one run, and say nothing of other seeds. Of more than 100 updates bins are
drawn: the line is the median of a bin's medians, and within the bands those parts of the tokens lie
at each of its updates. The axis is logarithmic down to the shaded strip, which shows displacements
that are exactly 0: where the median lies in it, at least half of the tokens did not move.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.axes import Axes

from deadtokens.figures.axes import LogScaleWithZero
from deadtokens.figures.bins import even_starts
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, of_runs
from deadtokens.figures.populations import (
    band_entries,
    draw_bands,
    quantile_rows,
    quantile_types,
)
from deadtokens.figures.runs import Run, longest, populations

COLUMN = "displacement"
TYPES = quantile_types(COLUMN)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    starts = even_starts(longest(runs))
    for run in runs:
        for population in populations(run):
            quantiles = run.data["displacement_quantile"].sel(population=population)
            yield from quantile_rows(run, population, quantiles, COLUMN, starts)


def _columns(number: int) -> int:
    return 2 if number == 4 else min(number, 3)


def _panels(table: pd.DataFrame) -> list[Panel]:
    scale = LogScaleWithZero.spanning(table[COLUMN])
    ylabel = "displacement of a token\nby one update (L2 norm)"
    width = 84 // _columns(table["run"].nunique())
    return [
        Panel(scale.place_rows(rows, COLUMN), label, ylabel, scale.apply)
        for label, rows in of_runs(table, width)
    ]


def _draw_lines(axes: Axes, rows: pd.DataFrame, _: Strokes) -> None:
    draw_bands(axes, rows, COLUMN)


def _entries(table: pd.DataFrame, _: Strokes) -> Entries:
    return [*band_entries(table), *LogScaleWithZero.spanning(table[COLUMN]).entries()]


FIGURE = PanelFigure(
    column=COLUMN,
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    by="population",
    entries=_entries,
    columns=_columns,
    height=2.0,
    margin=0.4,
)
RECIPE = FIGURE.recipe(
    "displacement",
    "Displacement of tokens by each update",
    "freezing.nc",
    ["displacement_quantile", "population", "quantile", "dead"],
)
