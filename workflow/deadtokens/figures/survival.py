"""The estimated fraction of dead tokens whose freezing is still to come.

It is the Kaplan-Meier estimate of those whose freezing comes after each update. As every censored
time is the end of the record, it is one minus the distribution of the last motions, no more: a
token's freezing time is its last motion, bitwise on the recorded weights, and that is known in
hindsight. The record ends, and what moves later is unknown: at the left only tokens that the last
update moved count as not yet frozen, at the right also those whose last stillness is shorter than
10 updates or no longer than one that they broke before. What the left curves fall near their end
can be made by the end itself: a longer record can show such tokens move again. "Settled" at the
right is a rule of thumb, and the figure forecast shows how often it fails. The bands are 95 % at
each single update, over tokens of one run as if they were independent; steps shared by many tokens
show that they are not, so the true uncertainty is larger. Of more than 2,000 updates every n-th is
drawn, as the axis says: between them the curves only fall.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from deadtokens.figures import style
from deadtokens.figures.columns import DIVERGED_AT, NAMES, TOKENS, numbers, texts
from deadtokens.figures.curves import EACH, end_of
from deadtokens.figures.lines import draw_groups
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, run_entries
from deadtokens.figures.runs import Run, described, drawn, populations, thinning
from deadtokens.freezing.lasting import LASTING

CRITERIA = {
    "last motion": "frozen: not moved in the last update\nof the record",
    "settled": f"frozen: still for {LASTING} updates or more at the end,\n"
    "and for longer than ever before",
}
COLUMNS = {"surviving": "fraction", "low": "low", "high": "high"}
BAND = {"alpha": 0.25, "linewidth": 0}
TYPES = (
    NAMES
    | texts("series", "criterion")
    | TOKENS
    | {"update": "int64"}
    | numbers(*COLUMNS)
    | DIVERGED_AT
)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    runs = [run for run in runs if "dead" in populations(run)]
    for run in runs:
        for criterion in CRITERIA:
            yield _curve(run, criterion, thinning(runs))


def _curve(run: Run, criterion: str, every: int) -> pd.DataFrame:
    data = run.data.sel(population="dead", grid="recorded", criterion=criterion)
    values = {name: data[f"surviving_{source}"].values for name, source in COLUMNS.items()}
    updates = data["update"].values
    line = pd.DataFrame({"series": EACH, "update": updates, **values})[drawn(updates, every)]
    rows = pd.concat([line, end_of(line, run)])
    return described(rows.assign(criterion=criterion, tokens=populations(run)["dead"]), run)


def _panels(table: pd.DataFrame) -> list[Panel]:
    ylabel = "fraction of dead tokens\nwhose freezing is still to come"
    return [
        Panel(
            table[table["criterion"] == criterion],
            words,
            ylabel,
            lambda axes: axes.set_ylim(-0.03, 1.03),
        )
        for criterion, words in CRITERIA.items()
    ]


def _draw_lines(axes: Axes, rows: pd.DataFrame, strokes: Strokes) -> None:
    for (group, _), line in rows.groupby(["group", "run"], sort=False):
        look = BAND | {"color": strokes[group].color, "step": "post"}
        axes.fill_between(line["update"], line["low"], line["high"], **look)
    draw_groups(axes, rows, "surviving", strokes)


def _entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    band = Patch(color=style.NEUTRAL, **BAND)
    return [*run_entries(table, strokes), (band, "95 % band of a curve, pointwise")]


FIGURE = PanelFigure(
    column="surviving",
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    entries=_entries,
    height=2.7,
)
RECIPE = FIGURE.recipe(
    "survival",
    "Survival of motion",
    "freezing.nc",
    [*(f"surviving_{source}" for source in COLUMNS.values()), "criterion", "grid", "dead"],
)
