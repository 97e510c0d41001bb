"""The training loss: the mean cross-entropy of the batch at each update.

It is given in nats per token. Faint lines show single updates, or, of more than 100, shaded bands
the range of bins of updates; the other lines are a centred moving mean, whose window is narrower at
the start and ends with the run; runs that differ only in their seed share a colour, and their mean
is drawn as far as all of them go. The dotted line is ln V, the loss of a model that gives each of
the V tokens the same probability. A cross marks the last update of a run that diverged.
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
from deadtokens.figures.axes import label_updates
from deadtokens.figures.bins import HIGHEST, LOWEST, even_starts, gathered, longest_bin
from deadtokens.figures.columns import NAMES, in_bins, typed
from deadtokens.figures.lines import (
    divergence_entries,
    draw_groups,
    draw_range,
    group_entries,
    mark_divergences,
    range_entries,
    strokes,
)
from deadtokens.figures.runs import (
    EACH,
    MEAN,
    Run,
    described,
    drawn,
    end_of,
    experiment,
    longest,
    mean_over_runs,
    open_runs,
    thinning,
)

SMOOTHED, UNIFORM = "moving mean", "uniform prediction"
LARGEST_LINEAR_RATIO = 10
DOTTED = {"color": style.NEUTRAL, "linewidth": 0.8, "linestyle": (0, (1, 2))}
TYPES = {
    **NAMES,
    "series": "str",
    **in_bins("loss"),
    "averaged_over": "Int64",
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's scalars each: ``loss`` over ``update``.

    Returns
    -------
    DataFrame
        One row a bin of updates: ``group``, ``regime``, ``label``, ``run``, ``series``, ``update``
        and ``last_update``, the median ``loss`` (nats a token) with its ``lowest`` and ``highest``,
        ``averaged_over`` (updates; the moving mean stands at single updates), and ``diverged_at``
        where a diverged run ends.
    """
    runs = experiment(datasets)
    starts, window = even_starts(longest(runs)), window_for(longest(runs))
    every = thinning(runs)
    curves = pd.concat([_curves(run, window, starts, every) for run in runs])
    smooth = curves[curves["series"] == SMOOTHED]
    means = mean_over_runs(smooth, ["update"], "loss")
    rows = pd.concat([*_uniform(runs), curves, means], ignore_index=True)
    return typed(rows, TYPES)


def _curves(run: Run, window: int, starts: np.ndarray, every: int) -> pd.DataFrame:
    loss = run.data["loss"].astype("float64")
    loss = loss[np.isfinite(loss.values)]
    updates = loss["update"].values
    raw = gathered(updates, starts, "loss", loss.values).assign(series=EACH, averaged_over=1)
    smooth, widths = moving_mean(loss.values, window)
    mean = pd.DataFrame({"update": updates[: len(smooth)], "loss": smooth, "series": SMOOTHED})
    mean = mean.assign(averaged_over=widths)[drawn(mean["update"].values, every)]
    single = pd.DataFrame({"update": updates, "loss": loss, "averaged_over": 1})
    return described(pd.concat([raw, mean, end_of(single, run)]), run)


def window_for(updates: int) -> int:
    """Return the width of the moving mean: odd, about a fiftieth of the longest run."""
    return 2 * (updates // 100) + 1


def moving_mean(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Average over a centred window, which narrows at the ends so that it never leans.

    Where the window narrows, the mean is noisier. That shows at the end, where the loss hardly
    falls: there the mean stops with the last full window, if there is one.

    Parameters
    ----------
    values : ndarray of shape (updates,)
    window : int
        Odd.

    Returns
    -------
    means : ndarray of shape (updates,) or shorter
    widths : ndarray of the same shape
        How many values each mean is taken over.
    """
    half = window // 2
    at = np.arange(len(values))
    reach = np.minimum(np.minimum(at, at[::-1]), half)
    if len(values) >= window:
        at, reach = at[: len(at) - half], reach[: len(at) - half]
    spans = zip(at - reach, at + reach + 1, strict=True)
    return np.array([values[start:stop].mean() for start, stop in spans]), 2 * reach + 1


def _uniform(runs: Sequence[Run]) -> list[pd.DataFrame]:
    """Return the loss of p = 1/V, for each vocabulary size, from the start to the last update."""
    sizes = {int(run.data.attrs["vocabulary_size"]) for run in runs if _knows_vocabulary(run)}
    last = max(run.data["update"].values.max(initial=1) for run in runs)
    ends = pd.DataFrame({"series": UNIFORM, "update": [0, last]})
    nobody = dict.fromkeys(NAMES, "")
    return [ends.assign(loss=np.log(size), **nobody) for size in sorted(sizes)]


def _knows_vocabulary(run: Run) -> bool:
    return "vocabulary_size" in run.data.attrs


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.6)
    axes = figure.subplots()
    curves, uniform = table[table["series"] != UNIFORM], table[table["series"] == UNIFORM]
    by_group = strokes(curves)
    _draw_raw(axes, curves[curves["series"] == EACH], by_group)
    draw_groups(axes, curves[curves["series"].isin([SMOOTHED, MEAN])], "loss", by_group)
    for _, ends in uniform.groupby("loss"):
        axes.plot(ends["update"], ends["loss"], **DOTTED)
    _scale(axes, pd.concat([table[LOWEST], table["loss"], table[HIGHEST]]))
    axes.set_ylabel(_loss_label(_window(table)))
    label_updates(axes, curves)
    mark_divergences(axes, curves, "loss", "group", by_group)
    style.legend_below(figure, _legend(curves, uniform, by_group))
    return figure


def _draw_raw(axes: Axes, rows: pd.DataFrame, by_group: dict[str, style.Stroke]) -> None:
    """Draw each update's loss as a faint line, or the range of each bin of updates."""
    if longest_bin(rows) > 1:
        for group, lines in rows.groupby("group", sort=False):
            draw_range(axes, lines, by_group[group].color)
        return
    for (group, _), line in rows.groupby(["group", "run"], sort=False):
        faint = {"color": by_group[group].color, "alpha": 0.22, "linewidth": 0.4, "zorder": 1}
        axes.plot(line["update"], line["loss"], **faint)


def _scale(axes: Axes, loss: pd.Series) -> None:
    """Use a logarithmic axis only where a linear one would flatten all runs but the worst."""
    if loss.min() > 0 and loss.max() > LARGEST_LINEAR_RATIO * loss.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _window(table: pd.DataFrame) -> int:
    return int(table["averaged_over"].fillna(1).max())


def _loss_label(window: int) -> str:
    label = "training loss (nats per token)"
    return label if window == 1 else f"{label},\ncentred mean of {window} updates"


def _legend(
    curves: pd.DataFrame, uniform: pd.DataFrame, by_group: dict[str, style.Stroke]
) -> list[tuple[Line2D, str]]:
    entries = group_entries(curves, by_group)
    together = range_entries(curves, "line: the centred mean")
    entries += together
    if _window(curves) > 1 and not together:
        faint = Line2D([], [], color=style.NEUTRAL, alpha=0.5, linewidth=0.4)
        entries.append((faint, "faint: single updates"))
    for loss in np.unique(uniform["loss"]):
        label = f"uniform prediction, ln {np.exp(loss):,.0f}"
        entries.append((Line2D([], [], **DOTTED), label))
    return entries + divergence_entries(curves)


RECIPE = command.Recipe(
    name="loss",
    title="Training loss",
    inputs="scalars.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, ["loss"]),
    table=table,
    draw=draw,
)
