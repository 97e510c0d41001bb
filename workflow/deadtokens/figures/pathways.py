"""Figure: the two ways by which gradients reach W, and what sums to zero over the vocabulary."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.figures import command, style
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.lines import divergence_entries, mark_divergences
from deadtokens.figures.logscale import label_log_updates, label_powers
from deadtokens.figures.runs import (
    DIVERGED,
    Run,
    described,
    drawn,
    end_of,
    experiment,
    open_runs,
    populations,
    thinning,
)

NORM, SUM = "norm of a row's gradient", "sum over the vocabulary"
WHOLE, INPUT, OUTPUT = "recorded gradient", "input side", "output side"
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
    "update": "int64",
    "value": "float64",
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
        row's gradient, or |sum over the vocabulary| / sum of norms), ``series`` (the recorded
        gradient, or one side of it), ``source`` (whether it was recorded or comes from a probe;
        of sides that are recorded no probes are drawn), ``population``, ``update``, ``value``, and
        ``diverged_at`` where a diverged run ends. Sides that are zero have no rows.
    """
    runs = experiment(datasets)
    every = thinning(runs)
    rows = pd.concat([_rows(run, every) for run in runs], ignore_index=True)
    return typed(rows, TYPES)


def _rows(run: Run, every: int) -> pd.DataFrame:
    data = run.data.isel(update=drawn(run.data["update"].values, every))
    sums = _line(SUM, WHOLE, data["sum_ratio"])
    norms = [
        _line(NORM, WHOLE, data["gradient_norm"].sel(population=population), population)
        for population in populations(run)
    ]
    ends = [end_of(sums, run).assign(quantity=SUM, population="")]  # of a run without updates too
    ends += [end_of(line, run) for line in norms if len(line)]
    return described(pd.concat([sums, *norms, *_sides(run, data), *ends], ignore_index=True), run)


def _sides(run: Run, data: xr.Dataset) -> list[pd.DataFrame]:
    """Return the lines of both sides: recorded at every update, or else probed at some."""
    recorded = "pathway_norm" in data
    norm = data["pathway_norm" if recorded else "side_norm"]
    total = data["pathway_sum"].sel(side="output") if recorded else data["output_sum"]
    return [
        _line(SUM, OUTPUT, total),
        *(
            _line(NORM, name, norm.sel(side=side, population=population), population)
            for population in populations(run)
            for side, name in (("input", INPUT), ("output", OUTPUT))
        ),
    ]


def _line(quantity: str, series: str, values: xr.DataArray, population: str = "") -> pd.DataFrame:
    (axis,) = values.dims
    line = pd.DataFrame({"update": values[axis].values, "value": values.values})
    names = {"quantity": quantity, "series": series, "population": population}
    return line[line["value"] > 0].assign(source=SOURCES[axis], **names)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = list(dict.fromkeys(table["run"]))
    figure = style.blank(height=0.4 + 2.0 * len(runs))
    panels = figure.subplots(len(runs), 2, sharex=True, sharey="col", squeeze=False)
    for run, pair in zip(runs, panels, strict=True):
        rows = table[table["run"] == run]
        for axes, quantity in zip(pair, (NORM, SUM), strict=True):
            _draw_panel(axes, rows[rows["quantity"] == quantity])
            label_log_updates(axes, table["update"])
        pair[0].set_title(style.as_drawn(rows["label"].iloc[0], 45))
        label_powers(pair[0], "y", "norm of a row's gradient\n(nat, root mean square)")
        label_powers(pair[1], "y", "|sum of rows| / sum of norms")
        if run != runs[-1]:
            for axes in pair:
                axes.set_xlabel("")
    style.legend_below(figure, _legend(table))
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame) -> None:
    lines = rows[rows["series"] != DIVERGED]
    for kind, line in lines.groupby(KIND, sort=False):
        axes.plot(line["update"], line["value"], **_look(*kind))
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
    return entries + divergence_entries(table)


RECIPE = command.Recipe(
    name="pathways",
    title="Input side and output side of the gradient",
    inputs="gradients.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
