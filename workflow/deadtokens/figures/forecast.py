"""Whether dead tokens that had come to rest before the record's end stayed where they were.

A token that was not seen to move again is not one that froze. So each record is cut short, and the
tokens are judged by what was known then, as they are at its end: settled, at rest for 10 updates or
more and for longer than ever before; at rest, but not settled; or moved by that very update. One
mark a run. Left: how many of the dead tokens were so judged. Centre: how many of these moved again
in the rest of the record. Right: of those that did, the median of how much later their last motion
came. Hollow in the strip at the right stand runs of which no token was so judged, or moved again.
Were "settled" what it says, no settled token would move again; a rest of the record without motion
shows no more than that it was long enough for these. Grids are the recorded numbers; tokens of one
run share its batches and are not independent.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.figures import style
from deadtokens.figures.axes import ScaleWithNone
from deadtokens.figures.columns import NAMES, TOKENS, numbers, texts
from deadtokens.figures.lines import strokes
from deadtokens.figures.named_rows import group_marks, label_rows, mark, places_of, row_height
from deadtokens.figures.runs import Run, described, populations, recipe_of_runs
from deadtokens.freezing.lasting import FRACTIONS, JUDGEMENTS

JUDGED, MOVED, LATER = "judged", "moved", "later"
AXES = {
    JUDGED: "fraction of\nthe dead tokens",
    MOVED: "fraction of them\nthat moved again",
    LATER: "last motion later by\n(updates, median)",
}
STRIP = 0.34  # of the axis: the tick at 1 has its label beside that of none
CUTS = {0.25: "a quarter", 0.5: "half"}
TYPES = NAMES | numbers("cut") | texts("judgement") | {"update": "int64"} | TOKENS | numbers(*AXES)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield of each run and cut, after ``update``, what became of the tokens of each judgement."""
    for run in runs:
        dead = populations(run).get("dead")
        for cut in FRACTIONS if dead else ():
            data = run.data.sel(cut=cut, grid="recorded", judgement=list(JUDGEMENTS))
            tokens, moved = (data[f"forecast_{name}"].values for name in ("tokens", "moved"))
            with np.errstate(invalid="ignore"):  # nobody was so judged
                shares = {JUDGED: tokens / dead, MOVED: moved / tokens}
            later = data["forecast_shift_quantile"].sel(quantile=0.5)
            about = {"cut": cut, "update": int(data["forecast_update"]), "tokens": tokens}
            rows = pd.DataFrame({"judgement": list(JUDGEMENTS), LATER: later} | shares | about)
            yield described(rows, run)


def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty("no dead tokens")
    runs = list(dict.fromkeys(table["run"]))
    looks = strokes(table)
    scales = {column: _scale(table[column]) for column in AXES}
    height = len(CUTS) * (1 + len(JUDGEMENTS) * 1.4 * row_height(len(runs)))
    figure = style.blank(height=height)
    panels = figure.subplots(len(CUTS), len(AXES), squeeze=False)
    for line, (cut, words) in zip(panels, CUTS.items(), strict=True):
        rows = table[table["cut"] == cut]
        for axes, column in zip(line, AXES, strict=True):
            places = places_of(rows["judgement"], JUDGEMENTS, rows["run"], runs)
            known = rows[column].notna()
            for (group, filled), marks in rows.groupby(["group", known], sort=False):
                x = scales[column].place(marks[column])
                axes.plot(x, places[marks.index], **mark(looks[group], filled))
            label_rows(axes, list(JUDGEMENTS), labelled=column == JUDGED)
            scales[column].apply(axes, "x")
            axes.set_xlabel(AXES[column])
        line[0].set_title(f"judged after {words} of the record: {_when(rows)}")
    style.legend_below(figure, [*group_marks(table, looks), *_entries(table)])
    return figure


def _scale(values: pd.Series) -> ScaleWithNone:
    shown = [0] if values.name == LATER else [0, 1]
    return ScaleWithNone.spanning(values, shown=shown, strip=STRIP)


def _entries(table: pd.DataFrame) -> list[tuple[Line2D, str]]:
    if table[[MOVED, LATER]].notna().all(axis=None):
        return []
    hollow = mark(style.Stroke(style.NEUTRAL), filled=False)
    return [
        (
            Line2D([], [], **hollow),
            "none: not defined, as no token was so judged or none moved again",
        )
    ]


def _when(rows: pd.DataFrame) -> str:
    return f"update {style.number_of(rows['update'])}"


RECIPE = recipe_of_runs(
    "forecast",
    "Whether tokens that came to rest stayed where they were",
    "freezing.nc",
    [
        *(f"forecast_{name}" for name in ("update", "tokens", "moved", "shift_quantile")),
        *("judgement", "cut", "grid", "dead"),
    ],
    rows=_rows,
    types=TYPES,
    draw=draw,
)
