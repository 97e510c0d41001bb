"""How sharp the prediction is over training, and what it leaves to a dead token.

Left: marks are the entropy of the prediction at a position, averaged over the batch, at the probed
updates; lines are the entropy of the batch's mean prediction, recorded at every update: never
lower, and higher by as much as positions expect different tokens. Middle: the temperature of the
prediction at the probed updates, which is one over the standard deviation of a position's logits
(geometric mean over positions), of all tokens and of live tokens alone. Halving it by nothing but
larger logits would be pure sharpening; where dead tokens sink together they widen the spread of all
logits, but not that of the live ones. Right: the probability that a dead token gets, mean over dead
tokens and positions. The gradient of a dead row is this probability times a hidden state. Dotted: a
prediction that gives each token the same; its temperature is infinite. Runs that differ only in
their seed share a colour. A cross, left and right, marks the last update of a run that diverged.
What these do to gradient and displacement, is in the figure ``sharpening``. Of many updates bins
are drawn, evenly long on the axis: the median of a bin as a line, shaded the range of its updates.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from deadtokens.figures import command, style
from deadtokens.figures.axes import label_log_updates, label_powers
from deadtokens.figures.bins import bin_starts, gathered
from deadtokens.figures.columns import NAMES, in_bins, typed
from deadtokens.figures.lines import (
    divergence_entries,
    draw_runs,
    group_entries,
    range_entries,
    strokes,
)
from deadtokens.figures.runs import (
    DIVERGED,
    MEAN,
    Run,
    described,
    end_of,
    experiment,
    longest,
    mean_over_runs,
    open_runs,
)

ENTROPY, TEMPERATURE, PROBABILITY = "entropy", "temperature", "probability"
OF_EACH, OF_MEAN, OF_ALL, OF_LIVE, OF_DEAD, UNIFORM = (
    "prediction, mean over positions",
    "mean prediction of the batch",
    "logits of all tokens",
    "logits of live tokens",
    "dead tokens",
    "uniform prediction",
)
DOTTED = {"color": style.NEUTRAL, "linewidth": 0.9, "linestyle": (0, (1, 1.5))}
TEMPERATURES = {OF_ALL: "temperature", OF_LIVE: "live_temperature"}
MARKS = {
    OF_EACH: {"marker": "o", "markersize": 4, "markerfacecolor": "white"},
    OF_ALL: {"marker": "o", "markersize": 4, "markerfacecolor": "white"},
    OF_LIVE: {"marker": ".", "markersize": 3.5},
}
NEEDED = ("entropy", "mean_entropy", "probability", "probe", "dead", *TEMPERATURES.values())
TYPES = {
    **NAMES,
    "series": "str",
    "quantity": "str",
    "of": "str",
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
        One row a probed update or a bin of recorded ones: ``quantity`` (entropy in nats,
        temperature, or probability), ``of`` (what), ``update`` and ``last_update``, the median
        ``value`` with its ``lowest`` and ``highest``; ``series`` tells single runs, their mean,
        and the ends of diverged runs (``diverged_at``) apart.
    """
    runs = experiment(datasets)
    starts = bin_starts(longest(runs))
    curves = pd.concat([_curves(run, starts) for run in runs], ignore_index=True)
    lines = curves[curves["series"] != DIVERGED]
    means = mean_over_runs(lines, ["quantity", "of", "update", "last_update"], "value")
    rows = pd.concat([*_uniform(runs), curves, means], ignore_index=True)
    return typed(rows, TYPES)


def _curves(run: Run, starts: np.ndarray) -> pd.DataFrame:
    data = run.data
    dead = data["probability"].sel(population="dead")
    recorded = [(ENTROPY, OF_MEAN, data["mean_entropy"]), (PROBABILITY, OF_DEAD, dead)]
    probed = [(ENTROPY, OF_EACH, data["entropy"])]
    probed += [(TEMPERATURE, of, data[name]) for of, name in TEMPERATURES.items()]
    lines = [_line(*line, starts) for line in recorded] + [_line(*line) for line in probed]
    ends = [_end(run, *line) for line in recorded]
    return described(pd.concat([*lines, *ends], ignore_index=True), run)


def _line(
    quantity: str, of: str, values: xr.DataArray, starts: np.ndarray | None = None
) -> pd.DataFrame:
    """Return a line's values as they are, or gathered in bins that begin at `starts`."""
    line = _points(values)
    single = line["update"].to_numpy()
    line = gathered(single, single if starts is None else starts, "value", line["value"])
    return line.assign(quantity=quantity, of=of, series="each run")


def _points(values: xr.DataArray) -> pd.DataFrame:
    (axis,) = values.dims
    points = pd.DataFrame({"update": values[axis].values, "value": values.values})
    return points[np.isfinite(points["value"]) & (points["value"] > 0)]


def _end(run: Run, quantity: str, of: str, values: xr.DataArray) -> pd.DataFrame:
    """Return where a line of a diverged run ends: one line's also if it has no point."""
    points = _points(values)
    ends = end_of(points, run) if len(points) or quantity == ENTROPY else points
    return ends.assign(quantity=quantity, of=of)


def _uniform(runs: Sequence[Run]) -> list[pd.DataFrame]:
    sizes = sorted({int(run.data.attrs["vocabulary_size"]) for run in runs})
    last = max(run.data["update"].values.max(initial=1) for run in runs)
    nobody = dict.fromkeys(NAMES, "")
    ends = pd.DataFrame({"update": [1, last], "series": UNIFORM, "of": UNIFORM, **nobody})
    return [
        ends.assign(quantity=quantity, value=value)
        for size in sizes
        for quantity, value in ((ENTROPY, np.log(size)), (PROBABILITY, 1 / size))
    ]


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.7)
    left, middle, right = figure.subplots(1, 3, sharex=True)
    curves = table[table["series"] != UNIFORM]
    by_group = strokes(curves)
    panels = {ENTROPY: left, TEMPERATURE: middle, PROBABILITY: right}
    for quantity, axes in panels.items():
        _draw_panel(axes, table[table["quantity"] == quantity], by_group)
        label_log_updates(axes, table)
    left.set_ylabel("entropy of the prediction (nat)")
    _label_temperature(middle, table.loc[table["quantity"] == TEMPERATURE, "value"])
    label_powers(right, "y", "probability of a dead token")
    if not (curves["of"] == OF_DEAD).any():
        right.set_title("no dead tokens")
    style.legend_below(figure, _legend(table, by_group))
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, by_group: dict[str, style.Stroke]) -> None:
    for _, ends in rows[rows["series"] == UNIFORM].groupby("value"):
        axes.plot(ends["update"], ends["value"], **DOTTED)
    probed = rows[rows["of"].isin(MARKS) & (rows["series"] != MEAN)]
    for (group, of, _), points in probed.groupby(["group", "of", "run"], sort=False):
        stroke = by_group[group]
        line = {**stroke.line(), "linewidth": 0.7} if of == OF_ALL else {"linestyle": ""}
        look = {"color": stroke.color, "zorder": 4, **MARKS[of], **line}
        axes.plot(points["update"], points["value"], **look)
    draw_runs(axes, rows[rows["of"].isin([OF_MEAN, OF_DEAD])], "value", by_group)


def _label_temperature(axes: Axes, values: pd.Series) -> None:
    axes.set_yscale("log")
    axes.set_ylabel("temperature")
    if values.empty:
        axes.set_ylim(0.1, 1)
    within_decades = values.empty or values.max() < 100 * values.min()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if within_decades else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _legend(table: pd.DataFrame, by_group: dict[str, style.Stroke]) -> list[tuple[object, str]]:
    curves = table[table["series"] != UNIFORM]
    entries = group_entries(curves, by_group)
    entries += range_entries(curves)
    line = Line2D([], [], color=style.NEUTRAL, linewidth=1.1)
    entries.append((line, f"entropy, line: of the {OF_MEAN}"))
    about = {
        OF_EACH: f"entropy, mark: of the {OF_EACH}",
        OF_ALL: f"temperature, joined: {OF_ALL}",
        OF_LIVE: f"temperature, dots: {OF_LIVE}",
    }
    for of, text in about.items():
        line = "-" if of == OF_ALL else ""
        sample = {"color": style.NEUTRAL, "linestyle": line, "linewidth": 0.7, **MARKS[of]}
        entries.append((Line2D([], [], **sample), text))
    entries.append((Line2D([], [], **DOTTED), f"{UNIFORM}: ln V, 1/V"))
    return entries + divergence_entries(curves)


RECIPE = command.Recipe(
    name="prediction",
    title="Sharpness of the prediction",
    inputs="gradients.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
