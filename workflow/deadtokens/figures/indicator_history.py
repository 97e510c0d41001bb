"""From which update on each indicator sees the dead tokens of a run.

Of a run it is known which tokens are dead, and its matrix W is recorded as it changes. Each panel
is an indicator, small where training has not moved a row: the area under its ROC curve at some of
the run's states, with its 95 % interval by DeLong's variance as a band, over tokens as if they were
independent; at areas of 0 and 1 that of Feng and Cliff, and none where one dead token, or one live
one, is asked alone. An area of 0.5 says nothing, less than that says that the dead tokens have the
larger values. The reference is the mean of every second dead token; the area is that of the others
among the live ones: those that stood in no batch, which nothing tells from dead ones, are left out.
The dashed line is the area from which on an indicator is said to see them, and the title has the
first of the states drawn from which on it stays there until the record ends. At the left, apart
from the logarithmic axis, is the state 0, before the first update.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from deadtokens.figures import style
from deadtokens.figures.axes import STRIP_COLOR, TITLE_WIDTH, label_log_updates
from deadtokens.figures.columns import DIVERGED_AT, NAMES, texts
from deadtokens.figures.curves import EACH, end_of
from deadtokens.figures.lines import draw_groups
from deadtokens.figures.matrices import AREA, INDICATORS
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, run_entries
from deadtokens.figures.runs import Run, described
from deadtokens.matrices.indicators import SEEN

BAND = {"alpha": 0.25, "linewidth": 0}
LINE = {"color": style.NEUTRAL, "linewidth": 0.9, "linestyle": (0, (4, 2))}
BEFORE = 0.5  # where on the logarithmic axis the state 0 is drawn
OF_THE_AXIS = (0.1, 0.25)  # from update 1 it is at least and at most so far, of the whole axis
COLUMNS = 3
NEEDED = ("indicator", *AREA, "seen_from")
TYPES = (
    NAMES
    | texts("series", "indicator")
    | {"update": "int64"}
    | AREA
    | {"seen_from": "Int64"}
    | DIVERGED_AT
)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    for run in runs:
        if run.data["area"].isnull().all():
            continue
        for name in run.data["indicator"].values:
            data = run.data.sel(indicator=name)
            values = {end: data[end].values for end in AREA}
            line = pd.DataFrame({"update": data["state"].values, **values, "series": EACH})
            rows = pd.concat([line, end_of(line.dropna(subset="area"), run)])
            yield described(rows.assign(indicator=name, seen_from=int(data["seen_from"])), run)


def _panels(table: pd.DataFrame) -> list[Panel]:
    ylabel = "area under the\nROC curve"
    placed = table["update"].astype(float).mask(table["update"] == 0, place_of_0(table))
    return [
        Panel(rows, f"{INDICATORS[name][0]}\n{_seen(rows)}", ylabel, _scale)
        for name, rows in table.assign(update=placed).groupby("indicator", sort=False)
    ]


def _seen(rows: pd.DataFrame) -> str:
    """Write from which state on an indicator sees the dead tokens, as a range where runs differ."""
    states = rows.groupby("run", sort=False)["seen_from"].first()
    seeing = states[states >= 0]
    if seeing.empty:
        return "not seen at the end"
    of_some = f", in {len(seeing)} of {len(states)} runs" if len(seeing) < len(states) else ""
    said = f"seen from update {style.number_of(seeing)} on{of_some}"
    return style.as_drawn(said, TITLE_WIDTH // COLUMNS)


def _scale(axes: Axes) -> None:
    axes.set_ylim(-0.03, 1.03)


def place_of_0(rows: pd.DataFrame) -> float:
    """Return where on the logarithmic axis of some rows the state 0 is drawn."""
    last = max(2, rows["update"].max())
    highest, lowest = (last**-part for part in OF_THE_AXIS)
    return min(highest, max(lowest, BEFORE))


def _draw_lines(axes: Axes, rows: pd.DataFrame, strokes: Strokes) -> None:
    for (group, _), line in rows.groupby(["group", "run"], sort=False):
        for part in (line[line["update"] < 1], line[line["update"] >= 1]):
            _draw_band(axes, part, strokes[group].color)
            draw_groups(axes, part, "area", strokes)
    if (before := rows["update"].min()) < 1:
        axes.axvspan(before**1.5, before**0.5, color=STRIP_COLOR, linewidth=0, zorder=0)
    axes.axhline(SEEN, **LINE)
    axes.axhline(0.5, **style.DOTTED)


def _draw_band(axes: Axes, part: pd.DataFrame, color: str) -> None:
    axes.fill_between(part["update"], part["area_low"], part["area_high"], color=color, **BAND)
    alone = part if len(part) == 1 else part[:0]
    axes.vlines(alone["update"], alone["area_low"], alone["area_high"], color=color, alpha=0.4)


def _label_updates(axes: Axes, rows: pd.DataFrame) -> None:
    label_log_updates(axes, rows)
    if (rows["update"] == 0).any():
        last = axes.get_xlim()[1]
        ticks = [tick for tick in axes.get_xticks() if 1 <= tick <= last]
        axes.set_xticks([place_of_0(rows), *ticks], ["0", *(f"{tick:,.0f}" for tick in ticks)])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(place_of_0(rows) ** 1.5, last)


def _entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    band = (Patch(color=style.NEUTRAL, **BAND), "95 % interval, at each single state")
    return [
        *run_entries(table, strokes),
        *([band] if table["area_low"].notna().any() else []),
        (Line2D([], [], **LINE), f"{SEEN}: it sees them"),
        (Line2D([], [], **style.DOTTED), "chance"),
    ]


FIGURE = PanelFigure(
    column="area",
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    columns=lambda number: min(number, COLUMNS),
    label_x=_label_updates,
    entries=_entries,
    height=1.9,
    nothing="fewer than two dead tokens, or no live ones",
)
RECIPE = FIGURE.recipe(
    "indicator_history",
    "When each indicator sees the dead tokens",
    "indicators.nc",
    NEEDED,
    axis="state",
)
