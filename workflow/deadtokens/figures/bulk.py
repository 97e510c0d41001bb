"""How much of the dead tokens' motion is common, and how coherent it is.

Above the motion by each update, split into bulk, the step of their centroid, and thermal, the root
mean square displacement relative to it; the squares of the two sum to the mean squared
displacement. Below at the left the bulk's share of that sum: 1 if all move alike, one over the
number of tokens if each goes its own way; tokens at rest count as displacement zero. At the right
the mean cosine between the displacements of two tokens that moved: 0 for independent directions;
drawn where at least 10 moved. Where few tokens move, both are noisy. Of more than 100 updates bins
are drawn: the median of a bin as a line, shaded the range of all its updates. A cross marks the
last update of a run that diverged.
"""

from collections.abc import Iterator, Sequence

import pandas as pd

from deadtokens.figures import style
from deadtokens.figures.axes import LogScaleWithZero
from deadtokens.figures.bins import even_starts
from deadtokens.figures.columns import DIVERGED_AT, NAMES, TOKENS, in_bins, texts
from deadtokens.figures.curves import curve
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, run_entries
from deadtokens.figures.runs import Run, longest, populations

FEWEST_MOVERS = 10
SPEEDS = {
    "bulk_speed": "bulk: the centroid's step",
    "thermal_speed": "thermal: relative to the centroid",
}
SHARES = {
    "bulk_share": "bulk share of the mean square",
    "pairwise_cosine": f"coherence (at least {FEWEST_MOVERS} movers)",
}
LABELS = {
    "bulk_share": "bulk² / (bulk² + thermal²)",
    "pairwise_cosine": "mean cosine between\ntwo tokens' displacements",
}
QUANTITIES = SPEEDS | SHARES
TYPES = NAMES | texts("series", "quantity") | TOKENS | in_bins("value") | DIVERGED_AT


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    starts = even_starts(longest(runs))
    for run in (run for run in runs if "dead" in populations(run)):
        dead = run.data[[*QUANTITIES, "movers"]].sel(population="dead")
        coherence = dead["pairwise_cosine"].where(dead["movers"] >= FEWEST_MOVERS)
        about = {"tokens": populations(run)["dead"]}
        for quantity, values in dead.assign(pairwise_cosine=coherence)[[*QUANTITIES]].items():
            yield curve(run, starts, "value", values, quantity=quantity, **about)


def _panels(table: pd.DataFrame) -> list[Panel]:
    scale = _scale(table)
    number = style.number_of(table["tokens"].dropna())
    by_quantity = {name: table[table["quantity"] == name] for name in QUANTITIES}
    speeds = [
        Panel(
            scale.place_rows(by_quantity[name], "value"),
            title,
            f"displacement by one update\n(L2 norm; {number} dead tokens)",
            scale.apply,
        )
        for name, title in SPEEDS.items()
    ]
    shares = [
        Panel(by_quantity[name], title, LABELS[name], lambda axes: axes.set_ylim(-0.13, 1.05))
        for name, title in SHARES.items()
    ]
    return speeds + shares


def _scale(table: pd.DataFrame) -> LogScaleWithZero:
    return LogScaleWithZero.of_bins(table[table["quantity"].isin(SPEEDS)], "value")


def _entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    return [*run_entries(table, strokes), *_scale(table).entries()]


FIGURE = PanelFigure(
    column="value",
    types=TYPES,
    rows=_rows,
    averaged=("quantity",),
    panels=_panels,
    entries=_entries,
    columns=lambda number: 2,
    height=2.1,
    sharey=False,
)
RECIPE = FIGURE.recipe(
    "bulk",
    "Common and thermal motion of the dead tokens",
    "drift.nc",
    [*QUANTITIES, "movers", "population", "dead"],
)
