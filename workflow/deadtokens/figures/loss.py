"""The training loss: the mean cross-entropy of the batch at each update.

It is given in nats per token. Faint lines show single updates, or, of more than 100, shaded bands
the range of bins of updates; the other lines are a centred moving mean, whose window is narrower at
the start and ends with the run; runs that differ only in their seed share a colour, and their mean
is drawn as far as all of them go. The dotted line is ln V, the loss of a model that gives each of
the V tokens the same probability. A cross marks the last update of a run that diverged.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from deadtokens.figures import style
from deadtokens.figures.axes import label_few_decades
from deadtokens.figures.bins import HIGHEST, LOWEST, even_starts, gathered, longest_bin
from deadtokens.figures.columns import DIVERGED_AT, NAMES, in_bins, texts
from deadtokens.figures.curves import EACH, MEAN, UNIFORM, end_of, mean_over_runs, uniform
from deadtokens.figures.lines import draw_groups, draw_range, group_entries, range_entries
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes
from deadtokens.figures.runs import Run, described, drawn, longest, thinning

SMOOTHED = "moving mean"
LARGEST_LINEAR_RATIO = 10
TYPES = NAMES | texts("series") | in_bins("loss") | {"averaged_over": "Int64"} | DIVERGED_AT


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    starts, window = even_starts(longest(runs)), window_for(longest(runs))
    curves = pd.concat([_curves(run, window, starts, thinning(runs)) for run in runs])
    for size, ends in uniform(runs, first=0):
        yield ends.assign(loss=np.log(size))
    yield curves
    yield mean_over_runs(curves[curves["series"] == SMOOTHED], ["update"], "loss")


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


def _panels(table: pd.DataFrame) -> list[Panel]:
    label, window = "training loss (nats per token)", _window(table)
    if window > 1:
        label = f"{label},\ncentred mean of {window} updates"
    losses = pd.concat([table[LOWEST], table["loss"], table[HIGHEST]])
    return [Panel(table, ylabel=label, scale=lambda axes: _scale(axes, losses))]


def _draw_lines(axes: Axes, rows: pd.DataFrame, strokes: Strokes) -> None:
    _draw_raw(axes, rows[rows["series"] == EACH], strokes)
    draw_groups(axes, rows[rows["series"].isin([SMOOTHED, MEAN])], "loss", strokes)
    for _, ends in rows[rows["series"] == UNIFORM].groupby("loss"):
        axes.plot(ends["update"], ends["loss"], **style.DOTTED)


def _draw_raw(axes: Axes, rows: pd.DataFrame, strokes: Strokes) -> None:
    """Draw each update's loss as a faint line, or the range of each bin of updates."""
    if longest_bin(rows) > 1:
        for group, lines in rows.groupby("group", sort=False):
            draw_range(axes, lines, strokes[group].color)
        return
    for (group, _), line in rows.groupby(["group", "run"], sort=False):
        faint = {"color": strokes[group].color, "alpha": 0.22, "linewidth": 0.4, "zorder": 1}
        axes.plot(line["update"], line["loss"], **faint)


def _scale(axes: Axes, loss: pd.Series) -> None:
    """Use a logarithmic axis only where a linear one would flatten all runs but the worst."""
    if loss.min() > 0 and loss.max() > LARGEST_LINEAR_RATIO * loss.min():
        label_few_decades(axes, loss)


def _window(table: pd.DataFrame) -> int:
    return int(table["averaged_over"].fillna(1).max())


def _entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    together = range_entries(table, "line: the centred mean")
    entries = [*group_entries(table, strokes), *together]
    if _window(table) > 1 and not together:
        faint = Line2D([], [], color=style.NEUTRAL, alpha=0.5, linewidth=0.4)
        entries.append((faint, "faint: single updates"))
    for loss in np.unique(table.loc[table["series"] == UNIFORM, "loss"]):
        label = f"uniform prediction, ln {np.exp(loss):,.0f}"
        entries.append((Line2D([], [], **style.DOTTED), label))
    return entries


FIGURE = PanelFigure(
    column="loss",
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    entries=_entries,
    height=2.6,
)
RECIPE = FIGURE.recipe("loss", "Training loss", "scalars.nc", ["loss"])
