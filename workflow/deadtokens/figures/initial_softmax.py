"""Dead gradients before training, expected and observed, by the scale of the embedding.

Before any training, with the weights and the first batch of the first run of the experiment, but
the rows of W drawn with the standard deviation at the bottom. Left: the probability of a dead
token, large marks the mean over positions, small triangles behind the median one of the batch's
input tokens. Right: the norm of dL/dW of a row, dead tokens filled, those of the batch open.
Dotted: what a uniform softmax would give. Tied, a large embedding carries the input token's own row
through the residual stream to its own logit, which then takes all probability: dead gradients
collapse, live ones stay. Untied, or without a residual path around the MLPs, nothing collapses.
Thin lines are the formula for the median token, from the sizes of the weights, the width and the
numbers of tokens. Thick lines are the median, and bands the range, of the mean over positions in 39
draws of rows and batches that know these sizes and the tokens' frequencies, nothing else of the
run: 95 % of seeds should lie in the band. It widens because few positions carry the mean. On the
right the band goes from its lower end times the measured mean hidden state (all positions alike) to
its upper end times the norm of a single one (one position has it all). The figure says nothing of
what training does later.
"""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import command, style
from deadtokens.figures.axes import label_powers
from deadtokens.figures.columns import numbers, texts, typed
from deadtokens.figures.inputs import open_dataset

MEASURED = ("dead_probability", "typical_dead_probability", "dead_gradient", "live_gradient")
PREDICTED = (
    "predicted_dead_probability",
    "predicted_dead_probability_low",
    "predicted_dead_probability_high",
    "predicted_typical_dead_probability",
)
NEEDED = (*MEASURED, *PREDICTED, "mean_hidden", "embedding_std", "tying")
TYINGS = {
    "tied": style.Stroke("#8a1c5a", (), "o"),
    "untied": style.Stroke("#2878b5", (4, 1.5), "s"),
}
SIZES = {"tied": 3.5, "untied": 6.5}  # one point must not hide the other
TYPICAL = {"marker": "v", "markersize": 3}
THIN = {"linewidth": 0.6}
DOTTED = {"color": style.NEUTRAL, "linewidth": 0.9, "linestyle": (0, (1, 1.5))}
BAND = {"color": style.NEUTRAL, "alpha": 0.2, "linewidth": 0}
AT_THE_RIGHT = "band at the right: from p |mean h| to p √D"
TYPES = texts("tying") | numbers(
    "embedding_std",
    *MEASURED,
    *PREDICTED,
    *("predicted_gradient_low", "predicted_gradient_high"),
    *("uniform_probability", "uniform_gradient"),
)


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One, of the first run of the experiment.

    Returns
    -------
    DataFrame
        One row a ``tying`` and ``embedding_std``: what was measured; the predicted probabilities;
        the gradients that follow from the lowest one if all positions share it alike
        (``predicted_gradient_low``: p |h_mean|), and from the highest one if one position has it
        all (``predicted_gradient_high``: p sqrt(D)); and what a uniform softmax would give.
    """
    (start,) = datasets
    width = json.loads(start.attrs["spec"])["width"]
    size = int(start.attrs["vocabulary_size"])
    rows = start[[name for name in NEEDED if name in start.data_vars]].to_dataframe().reset_index()
    rows["tying"] = pd.Categorical(rows["tying"], list(TYINGS))
    rows = rows.sort_values(["tying", "embedding_std"], ignore_index=True)
    lowest, highest = (rows[f"predicted_dead_probability_{end}"] for end in ("low", "high"))
    rows = rows.assign(
        predicted_gradient_low=lowest * rows["mean_hidden"],
        predicted_gradient_high=highest * np.sqrt(width),
        uniform_probability=1 / size,
        uniform_gradient=rows["mean_hidden"] / size,
    )
    return typed(rows, TYPES)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.9)
    left, right = figure.subplots(1, 2, sharex=True)
    _draw_probability(left, table)
    _draw_gradients(right, table)
    for axes in (left, right):
        label_powers(axes, "x", "standard deviation of the embedding at the start")
    style.legend_below(figure, _legend(table))
    return figure


def _draw_probability(axes: Axes, table: pd.DataFrame) -> None:
    for tying, rows in table.groupby("tying", sort=False):
        stroke, std = TYINGS[tying], rows["embedding_std"]
        ends = (rows[f"predicted_dead_probability_{end}"] for end in ("low", "high"))
        axes.fill_between(std, *ends, color=stroke.color, alpha=0.15, linewidth=0)
        axes.plot(std, rows["predicted_dead_probability"], **stroke.line())
        axes.plot(std, rows["predicted_typical_dead_probability"], **stroke.line(), **THIN)
        _draw_points(axes, rows, "dead_probability")
        _draw_points(axes, rows, "typical_dead_probability", **TYPICAL)
    axes.plot(table["embedding_std"], table["uniform_probability"], **DOTTED)
    label_powers(axes, "y", "probability of a dead token")
    if table["dead_probability"].isna().all():
        axes.set_title("no dead tokens")


def _draw_gradients(axes: Axes, table: pd.DataFrame) -> None:
    for tying, rows in table.groupby("tying", sort=False):
        stroke = TYINGS[tying]
        low, high = rows["predicted_gradient_low"], rows["predicted_gradient_high"]
        axes.fill_between(rows["embedding_std"], low, high, color=stroke.color, alpha=0.15, lw=0)
        _draw_points(axes, rows, "dead_gradient")
        _draw_points(axes, rows, "live_gradient", markerfacecolor="none")
    tied = table[table["tying"] == "tied"]
    axes.plot(tied["embedding_std"], tied["uniform_gradient"], **DOTTED)
    label_powers(axes, "y", "norm of a row's gradient (nat)")


def _draw_points(axes: Axes, rows: pd.DataFrame, column: str, **look: str | float) -> None:
    tying = rows["tying"].iloc[0]
    axes.plot(rows["embedding_std"], rows[column], **_point(tying) | look)


def _point(tying: str) -> dict:
    stroke = TYINGS[tying]
    look = {"color": stroke.color, "marker": stroke.marker, "markersize": SIZES[tying]}
    return look | {"linestyle": "", "zorder": 4 if tying == "tied" else 3}


def _legend(table: pd.DataFrame) -> list[tuple[object, str]]:
    entries: list[tuple[object, str]] = []
    for tying, stroke in TYINGS.items():
        point = _point(tying)
        entries += [
            (Line2D([], [], **point), f"{tying}, dead tokens: measured"),
            (Line2D([], [], **point, markerfacecolor="none"), f"{tying}, live tokens: measured"),
            (Line2D([], [], **stroke.line()), f"{tying}: p predicted, median"),
            (Patch(color=stroke.color, alpha=0.2, linewidth=0), f"{tying}: p, 95 % of seeds"),
            (Line2D([], [], **stroke.line() | THIN, **TYPICAL), f"{tying}: at the median token"),
        ]
    size = 1 / table["uniform_probability"].iloc[0]
    uniform = (Line2D([], [], **DOTTED), f"uniform softmax, p = 1/{size:,.0f}")
    half = len(entries) // 2  # a column for each tying
    return [*entries[:half], uniform, *entries[half:], (Patch(**BAND), AT_THE_RIGHT)]


RECIPE = command.Recipe(
    name="initial_softmax",
    title="Dead gradients before training",
    inputs="initial_softmax.nc of the first run of the experiment",
    open=lambda paths: [open_dataset(path, NEEDED, ("spec", "vocabulary_size")) for path in paths],
    table=table,
    draw=draw,
)
