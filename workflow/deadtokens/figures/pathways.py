"""The two ways by which gradients reach W, and what sums to zero over the vocabulary.

Left: the norm of a row's gradient before clipping, root mean square over the dead tokens, the live
ones (which stood in a batch of the run) and those of the text that stood in none: of the recorded
gradient (over the factor by which it was clipped, if it was), and of its input side (the token is
read) and output side (the token is scored). Where both sides are recorded (``record.pathways``)
they are lines; else triangles are probes, in which autograd kept the sides apart, dense early and
sparse late; between them the sides are not known. A dead token is never read: its input side is
exactly zero and is not drawn, its output side lies on the recorded gradient. Right: the sum of the
gradient over the vocabulary, over the sum of the rows' norms. The output side sums to zero up to
rounding; the whole gradient of a tied W does not, because of its input side. Where W is untied, its
gradient is the output side alone, and the input side shown is that of the embedding. Of many
updates bins are drawn, evenly long on the axis: the median of a bin as a line, shaded the range of
its updates.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.figures import command, style
from deadtokens.figures.axes import label_log_updates, label_powers
from deadtokens.figures.bins import bin_starts, gathered, middles
from deadtokens.figures.columns import NAMES, in_bins, typed
from deadtokens.figures.lines import (
    divergence_entries,
    draw_range,
    mark_divergences,
    range_entries,
)
from deadtokens.figures.runs import (
    DIVERGED,
    Run,
    described,
    end_of,
    experiment,
    longest,
    open_runs,
    populations,
)

NORM, SUM = "norm of a row's gradient", "sum over the vocabulary"
WHOLE, INPUT, OUTPUT = "whole gradient", "input side", "output side"
SOURCES = {"update": "recorded", "probe": "probed"}
MARKERS = {INPUT: "v", OUTPUT: "^"}
DASHES = {WHOLE: "-", INPUT: (0, (1, 1.5)), OUTPUT: (0, (4, 2))}
STROKES = style.POPULATIONS | {"": style.Stroke(style.NEUTRAL)}
KIND = ["series", "source", "population"]
NEEDED = ("gradient_norm", "sum_ratio", "side_norm", "output_sum", "probe", "dead")
TYPES = {
    **NAMES,
    "quantity": "str",
    "series": "str",
    "source": "str",
    "population": "str",
    **in_bins("value"),
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's gradients each.

    Returns
    -------
    DataFrame
        One row a value: ``quantity`` (root mean square over a population's tokens of the norm of a
        row's gradient before clipping, or |sum over the vocabulary| / sum of norms), ``series``
        (the whole gradient, or one side of it), ``source`` (whether it was recorded or comes from
        a probe; of sides that are recorded no probes are drawn), ``population``, ``update`` and
        ``last_update`` of a bin, its median ``value`` with ``lowest`` and ``highest``, and
        ``diverged_at`` where a diverged run ends. Sides that are zero have no rows.
    """
    runs = experiment(datasets)
    starts = bin_starts(longest(runs))
    rows = pd.concat([_rows(run, starts) for run in runs], ignore_index=True)
    return typed(rows, TYPES)


def _rows(run: Run, starts: np.ndarray) -> pd.DataFrame:
    lines = [(SUM, WHOLE, run.data["sum_ratio"], "")]
    lines += [
        (NORM, WHOLE, run.data["gradient_norm"].sel(population=population), population)
        for population in populations(run)
    ]
    rows = [_line(run, starts, *line) for line in [*lines, *_sides(run)]]
    ends = [_end(run, *line) for line in lines]
    return described(pd.concat([*rows, *ends], ignore_index=True), run)


def _sides(run: Run) -> list[tuple[str, str, xr.DataArray, str]]:
    """Return the lines of both sides: recorded at every update, or else probed at some."""
    data = run.data
    recorded = "pathway_norm" in data
    norm = data["pathway_norm" if recorded else "side_norm"]
    total = data["pathway_sum"].sel(side="output") if recorded else data["output_sum"]
    return [
        (SUM, OUTPUT, total, ""),
        *(
            (NORM, name, norm.sel(side=side, population=population), population)
            for population in populations(run)
            for side, name in (("input", INPUT), ("output", OUTPUT))
        ),
    ]


def _line(
    run: Run, starts: np.ndarray, quantity: str, series: str, values: xr.DataArray, population: str
) -> pd.DataFrame:
    (axis,) = values.dims
    points = _points(values)
    single = points["update"].to_numpy()
    line = gathered(single, starts if axis == "update" else single, "value", points["value"])
    return line.assign(
        quantity=quantity, series=series, source=SOURCES[axis], population=population
    )


def _end(run: Run, quantity: str, _: str, values: xr.DataArray, population: str) -> pd.DataFrame:
    """Return where a line of a diverged run ends: the sum's also if it has no point."""
    points = _points(values)
    ends = end_of(points, run) if len(points) or quantity == SUM else points
    about = {"quantity": quantity, "source": SOURCES["update"], "population": population}
    return ends.assign(**about)


def _points(values: xr.DataArray) -> pd.DataFrame:
    (axis,) = values.dims
    points = pd.DataFrame({"update": values[axis].values, "value": values.values})
    return points[points["value"] > 0]


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = list(dict.fromkeys(table["run"]))
    figure = style.blank(height=0.4 + 2.0 * len(runs))
    titles = {}
    panels = figure.subplots(len(runs), 2, sharex=True, sharey="col", squeeze=False)
    for run, pair in zip(runs, panels, strict=True):
        rows = table[table["run"] == run]
        for axes, quantity in zip(pair, (NORM, SUM), strict=True):
            _draw_panel(axes, rows[rows["quantity"] == quantity])
            label_log_updates(axes, table)
        titles[pair[0]] = style.as_drawn(rows["label"].iloc[0], 45)
        label_powers(pair[0], "y", "norm of a row's gradient\nbefore clipping (nat, r.m.s.)")
        label_powers(pair[1], "y", "|sum of rows| / sum of norms")
        if run != runs[-1]:
            for axes in pair:
                axes.set_xlabel("")
    style.set_titles(figure, titles)
    style.legend_below(figure, _legend(table))
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame) -> None:
    lines = rows[rows["series"] != DIVERGED]
    for kind, line in lines.groupby(KIND, sort=False):
        draw_range(axes, line, STROKES[kind[-1]].color)
        axes.plot(middles(line), line["value"], **_look(*kind))
    mark_divergences(axes, rows, "value", "population", STROKES)


def _look(series: str, source: str, population: str) -> dict:
    look = {"color": STROKES[population].color}
    if source == SOURCES["update"]:
        return look | {"linewidth": 0.8, "linestyle": DASHES[series], "zorder": 2}
    look |= {"marker": MARKERS[series], "markersize": 4.5, "linestyle": ""}
    return look | {"markerfacecolor": "white", "zorder": 3}


def _legend(table: pd.DataFrame) -> list[tuple[object, str]]:
    kinds = table[table["series"] != DIVERGED][KIND].drop_duplicates()
    entries = [
        (Line2D([], [], **_look(*kind)), f"{kind.population or 'all'} tokens: {kind.series}")
        for kind in kinds.itertuples(index=False)
    ]
    return [*entries, *range_entries(table), *divergence_entries(table)]


RECIPE = command.Recipe(
    name="pathways",
    title="Input side and output side of the gradient",
    inputs="gradients.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
