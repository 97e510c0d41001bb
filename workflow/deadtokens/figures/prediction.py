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

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from deadtokens.figures import style
from deadtokens.figures.axes import label_few_decades, label_log_updates, label_powers
from deadtokens.figures.bins import bin_starts
from deadtokens.figures.columns import DIVERGED_AT, NAMES, in_bins, texts
from deadtokens.figures.curves import MEAN, UNIFORM, curve, positive, uniform
from deadtokens.figures.lines import draw_groups
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, run_entries
from deadtokens.figures.runs import Run, longest

ENTROPY, TEMPERATURE, PROBABILITY = "entropy", "temperature", "probability"
OF_EACH, OF_MEAN, OF_ALL, OF_LIVE, OF_DEAD = (
    "prediction, mean over positions",
    "mean prediction of the batch",
    "logits of all tokens",
    "logits of live tokens",
    "dead tokens",
)
TEMPERATURES = {OF_ALL: "temperature", OF_LIVE: "live_temperature"}
MARKS = {
    OF_EACH: {"marker": "o", "markersize": 4, "markerfacecolor": "white"},
    OF_ALL: {"marker": "o", "markersize": 4, "markerfacecolor": "white"},
    OF_LIVE: {"marker": ".", "markersize": 3.5},
}
TYPES = NAMES | texts("series", "quantity", "of") | in_bins("value") | DIVERGED_AT


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    for size, ends in uniform(runs, first=1):
        for quantity, value in ((ENTROPY, np.log(size)), (PROBABILITY, 1 / size)):
            yield ends.assign(quantity=quantity, value=value, of=UNIFORM)
    starts = bin_starts(longest(runs))
    for run in runs:
        data = run.data
        recorded = [
            (ENTROPY, OF_MEAN, data["mean_entropy"]),
            (PROBABILITY, OF_DEAD, data["probability"].sel(population="dead")),
        ]
        probed = [(ENTROPY, OF_EACH, data["entropy"])]
        probed += [(TEMPERATURE, of, data[name]) for of, name in TEMPERATURES.items()]
        for quantity, of, values in [*recorded, *probed]:
            about = {"series": "each run", "ends": values.dims == ("update",)}
            line = curve(run, starts, "value", positive(values), **about)
            yield line.assign(quantity=quantity, of=of)


def _panels(table: pd.DataFrame) -> list[Panel]:
    entropy, temperature, probability = (
        table[table["quantity"] == quantity] for quantity in (ENTROPY, TEMPERATURE, PROBABILITY)
    )
    nobody = "" if (table["of"] == OF_DEAD).any() else "no dead tokens"
    of_logits = partial(label_few_decades, values=temperature["value"])
    powers = partial(label_powers, which="y")
    return [
        Panel(entropy, ylabel="entropy of the prediction (nat)"),
        Panel(temperature, ylabel="temperature", scale=of_logits),
        Panel(probability, nobody, "probability of a dead token", powers),
    ]


def _draw_lines(axes: Axes, rows: pd.DataFrame, strokes: Strokes) -> None:
    for _, ends in rows[rows["series"] == UNIFORM].groupby("value"):
        axes.plot(ends["update"], ends["value"], **style.DOTTED)
    probed = rows[rows["of"].isin(MARKS) & (rows["series"] != MEAN)]
    for (group, of, _), points in probed.groupby(["group", "of", "run"], sort=False):
        stroke = strokes[group]
        line = {**stroke.line(), "linewidth": 0.7} if of == OF_ALL else {"linestyle": ""}
        look = {"color": stroke.color, "zorder": 4, **MARKS[of], **line}
        axes.plot(points["update"], points["value"], **look)
    draw_groups(axes, rows[rows["of"].isin([OF_MEAN, OF_DEAD])], "value", strokes)


def _entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    entries = [*run_entries(table, strokes)]
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
    return [*entries, (Line2D([], [], **style.DOTTED), f"{UNIFORM}: ln V, 1/V")]


FIGURE = PanelFigure(
    column="value",
    types=TYPES,
    rows=_rows,
    averaged=("quantity", "of"),
    panels=_panels,
    lines=_draw_lines,
    label_x=label_log_updates,
    entries=_entries,
    height=2.7,
    sharey=False,
)
RECIPE = FIGURE.recipe(
    "prediction",
    "Sharpness of the prediction",
    "gradients.nc",
    ["entropy", "mean_entropy", "probability", "probe", "dead", *TEMPERATURES.values()],
)
