"""The two ways by which gradients reach W, and what sums to zero over the vocabulary.

Left: the norm of a row's gradient before clipping, root mean square over the dead tokens, the live
ones (which stood in a batch of the run) and those of the text that stood in none: of the recorded
gradient (over the factor by which it was clipped, if it was), and of its input side (the token is
read) and output side (the token is scored). Where both sides are recorded (``record.pathways``)
they are lines; else triangles are probes, in which autograd kept the sides apart, dense early and
sparse late; between them the sides are not known. A dead token is never read: its input side is
exactly zero and is not drawn, its output side lies on the recorded gradient. Wide and beneath it
are tokens that were never sampled. Right: the sum of the gradient over the vocabulary, over the sum
of the rows' norms. The output side sums to zero up to rounding; the whole gradient of a tied W does
not, because of its input side. Where W is untied, its gradient is the output side alone, and the
input side shown is that of the embedding. Of many updates bins are drawn, evenly long on the axis:
the median of a bin as a line, shaded the range of its updates.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from deadtokens.figures import style
from deadtokens.figures.axes import label_log_updates, label_powers
from deadtokens.figures.bins import bin_starts, middles
from deadtokens.figures.columns import DIVERGED_AT, NAMES, in_bins, texts
from deadtokens.figures.curves import curve, positive
from deadtokens.figures.lines import draw_range, range_entries
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, of_runs
from deadtokens.figures.runs import DIVERGED, Run, longest, populations

NORM, SUM = "norm of a row's gradient", "sum over the vocabulary"
WHOLE, INPUT, OUTPUT = "whole gradient", "input side", "output side"
SOURCES = {"update": "recorded", "probe": "probed"}
MARKERS = {INPUT: "v", OUTPUT: "^"}
DASHES = {WHOLE: "-", INPUT: (0, (1, 1.5)), OUTPUT: (0, (4, 2))}
# The dead lie on top; those beneath that go the same way are wide enough to be seen beside them.
LEVEL, WIDER = {"dead": 0.5, "never sampled": -0.5}, {"never sampled": 1.8}
KIND = ["series", "source", "population"]
LABELS = {
    NORM: "norm of a row's gradient\nbefore clipping (nat, r.m.s.)",
    SUM: "|sum of rows| / sum of norms",
}
TYPES = NAMES | texts("quantity", *KIND) | in_bins("value") | DIVERGED_AT


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    starts = bin_starts(longest(runs))
    for run in runs:
        for quantity, series, values, population in [*_whole(run), *_sides(run)]:
            about = {"source": SOURCES[values.dims[0]], "population": population}
            about |= {"series": series, "ends": series == WHOLE, "quantity": quantity}
            yield curve(run, starts, "value", positive(values), **about)


def _whole(run: Run) -> Iterator[tuple[str, str, xr.DataArray, str]]:
    yield SUM, WHOLE, run.data["sum_ratio"], ""
    for population in populations(run):
        norm = run.data["gradient_norm"].sel(population=population)
        yield NORM, WHOLE, norm, population


def _sides(run: Run) -> Iterator[tuple[str, str, xr.DataArray, str]]:
    """Yield the lines of both sides: recorded at every update, or else probed at some."""
    data = run.data
    recorded = "pathway_norm" in data
    norm = data["pathway_norm" if recorded else "side_norm"]
    total = data["pathway_sum"].sel(side="output") if recorded else data["output_sum"]
    yield SUM, OUTPUT, total, ""
    for population in populations(run):
        for side, name in (("input", INPUT), ("output", OUTPUT)):
            yield NORM, name, norm.sel(side=side, population=population), population


def _panels(table: pd.DataFrame) -> list[Panel]:
    return [
        Panel(
            rows[rows["quantity"] == quantity],
            title if quantity == NORM else "",
            label,
            partial(label_powers, which="y"),
        )
        for title, rows in of_runs(table, 45)
        for quantity, label in LABELS.items()
    ]


def _draw_lines(axes: Axes, rows: pd.DataFrame, strokes: Strokes) -> None:
    for kind, line in rows.groupby(KIND, sort=False):
        look = _look(*kind)
        draw_range(axes, line, look["color"])
        axes.plot(middles(line), line["value"], **look)


def _look(series: str, source: str, population: str) -> dict:
    look = {"color": style.OF_POPULATIONS[population].color}
    level, wider = LEVEL.get(population, 0), WIDER.get(population, 0)
    if source == SOURCES["update"]:
        width = {"linewidth": 0.8 + wider, "solid_capstyle": "butt"}
        return look | width | {"linestyle": DASHES[series], "zorder": 2 + level}
    look |= {"marker": MARKERS[series], "markersize": 4.5 + wider, "linestyle": ""}
    return look | {"markerfacecolor": "white", "zorder": 4 + level}


def _entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    kinds = table[table["series"] != DIVERGED][KIND].drop_duplicates()
    entries = [
        (Line2D([], [], **_look(*kind)), f"{kind.population or 'all'} tokens: {kind.series}")
        for kind in kinds.itertuples(index=False)
    ]
    return [*entries, *range_entries(table)]


FIGURE = PanelFigure(
    column="value",
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    by="population",
    label_x=label_log_updates,
    entries=_entries,
    columns=lambda number: 2,
    height=2.0,
    margin=0.4,
    sharey="col",
)
RECIPE = FIGURE.recipe(
    "pathways",
    "Input side and output side of the gradient",
    "gradients.nc",
    ["gradient_norm", "sum_ratio", "side_norm", "output_sum", "probe", "dead"],
)
