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
MARKERS = {INPUT: "v", OUTPUT: "^"}
STROKES = style.POPULATIONS | {"": style.Stroke(style.NEUTRAL)}
NEEDED = ("gradient_norm", "sum_ratio", "side_norm", "output_sum", "probe", "dead")
TYPES = {
    **NAMES,
    "quantity": "str",
    "series": "str",
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
        gradient, or one side of it at a probed update), ``population``, ``update``, ``value``, and
        ``diverged_at`` where a diverged run ends. Sides that are zero have no rows.
    """
    runs = experiment(datasets)
    every = thinning(runs)
    rows = pd.concat([_rows(run, every) for run in runs], ignore_index=True)
    return typed(rows, TYPES)


def _rows(run: Run, every: int) -> pd.DataFrame:
    data = run.data
    chosen = drawn(data["update"].values, every)
    recorded = [_line(SUM, WHOLE, data["sum_ratio"].isel(update=chosen))]
    probed = [_line(SUM, OUTPUT, data["output_sum"])]
    for population in populations(run):
        one = data.sel(population=population)
        norms = one["gradient_norm"].isel(update=chosen)
        recorded.append(_line(NORM, WHOLE, norms, population))
        for side, name in (("input", INPUT), ("output", OUTPUT)):
            probed.append(_line(NORM, name, one["side_norm"].sel(side=side), population))
    sums, *norms = recorded
    ends = [end_of(sums, run).assign(quantity=SUM, population="")]  # of a run without updates too
    ends += [end_of(line, run) for line in norms if len(line)]
    return described(pd.concat([*recorded, *probed, *ends], ignore_index=True), run)


def _line(quantity: str, series: str, values: xr.DataArray, population: str = "") -> pd.DataFrame:
    (axis,) = values.dims
    line = pd.DataFrame({"update": values[axis].values, "value": values.values})
    line = line[line["value"] > 0]
    return line.assign(quantity=quantity, series=series, population=population)


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
    for (series, population), line in lines.groupby(["series", "population"], sort=False):
        axes.plot(line["update"], line["value"], **_look(series, population))
    mark_divergences(axes, rows, "value", "population", STROKES)


def _look(series: str, population: str) -> dict:
    color = STROKES[population].color
    if series == WHOLE:
        return {"color": color, "linewidth": 0.8, "marker": "", "zorder": 2}
    look = {"color": color, "marker": MARKERS[series], "markersize": 4.5}
    return look | {"linestyle": "", "markerfacecolor": "white", "zorder": 3}


def _legend(table: pd.DataFrame) -> list[tuple[object, str]]:
    kinds = table[table["series"] != DIVERGED][["series", "population"]].drop_duplicates()
    entries = [
        (
            Line2D([], [], **_look(series, population)),
            f"{population} tokens: {series}" if population else f"all tokens: {series}",
        )
        for series, population in kinds.itertuples(index=False)
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
