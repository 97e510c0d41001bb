"""How the runs of an experiment are drawn as lines: strokes, means, ends, legend."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from deadtokens.figures.bins import HIGHEST, LOWEST, longest_bin, middles
from deadtokens.figures.curves import MEAN
from deadtokens.figures.runs import DIVERGED
from deadtokens.figures.style import NEUTRAL, REGIMES, Stroke, shades

BOLD, THIN = 1.1, 0.5
OPACITY = 0.18  # of the range of a bin
MARKERS = "os^DvPX"
MARKERS_PER_LINE = 6
NEAR = (0.5, 0.22)  # of the axes: the labels of points closer than this would overlap


def strokes(table: pd.DataFrame) -> dict[str, Stroke]:
    """Give each group of runs its stroke.

    A group has the colour and the dashes of its regime. Groups that share a regime are told apart
    by lightness and marker.

    Parameters
    ----------
    table : DataFrame
        With the columns ``group`` and ``regime``.
    """
    groups = table[["group", "regime"]].drop_duplicates()
    by_group = {}
    for regime, members in groups.groupby("regime", sort=False)["group"]:
        variants = _variants(REGIMES.get(regime, Stroke(NEUTRAL)), len(members))
        by_group.update(zip(members, variants, strict=True))
    return by_group


def _variants(stroke: Stroke, number: int) -> list[Stroke]:
    if number == 1:
        return [stroke]
    return [
        replace(stroke, color=color, marker=MARKERS[place % len(MARKERS)])
        for place, color in enumerate(_shades(stroke.color, number))
    ]


def _shades(color: str, number: int) -> list[str]:
    """Go from a dark colour towards white, or from a light one towards black."""
    is_dark = np.mean(to_rgb(color)) < 0.5
    end = "white" if is_dark else "black"
    return shades([color, end], number + 2)[:number]


def draw_groups(axes: Axes, rows: pd.DataFrame, column: str, strokes: dict[str, Stroke]) -> None:
    """Draw one line a run, thin where a group's mean is drawn too, and the ranges of bins.

    Parameters
    ----------
    axes : Axes
    rows : DataFrame
        ``group``, ``run`` (empty for a mean), ``series``, ``update`` and `column`; where updates
        were gathered, what `gathered` gives.
    column : str
    strokes : dict of str to Stroke
    """
    averaged = set(rows.loc[rows["series"] == MEAN, "group"])
    for group, lines in rows[rows["run"] != ""].groupby("group", sort=False):
        draw_range(axes, lines, strokes[group].color)
    for (group, run), line in rows.groupby(["group", "run"], sort=False):
        bold = run == "" or group not in averaged
        weight = {"linewidth": BOLD, "zorder": 3} if bold else {"linewidth": THIN, "zorder": 2}
        marks = _marks(strokes[group], len(line)) if bold else {}
        axes.plot(middles(line), line[column], **strokes[group].line(), **weight, **marks)


def draw_range(axes: Axes, lines: pd.DataFrame, color: str) -> None:
    """Shade the range of each bin of updates over all lines, if updates were gathered in bins."""
    if longest_bin(lines) > 1:
        bins = lines.groupby(middles(lines)).agg({LOWEST: "min", HIGHEST: "max"})
        look = {"color": color, "alpha": OPACITY, "linewidth": 0, "zorder": 1}
        axes.fill_between(bins.index, bins[LOWEST], bins[HIGHEST], **look)


def range_entries(table: pd.DataFrame, line: str = "line: their median") -> list[tuple[Patch, str]]:
    """Return the legend's entry for the ranges of bins, if updates were gathered in bins."""
    if longest_bin(table) == 1:
        return []
    band = Patch(color=NEUTRAL, alpha=OPACITY, linewidth=0)
    return [(band, f"shaded: range of a bin's updates; {line}")]


def _marks(stroke: Stroke, points: int) -> dict:
    """Place markers at other updates for each marker, so that lines on each other show."""
    if points == 1:
        return {"marker": stroke.marker or "."}
    spacing = max(1, points // MARKERS_PER_LINE)
    first = spacing * (1 + MARKERS.find(stroke.marker)) // (1 + len(MARKERS))
    return {"marker": stroke.marker, "markersize": 4, "markevery": (first, spacing)}


def mark_divergences(
    axes: Axes, rows: pd.DataFrame, column: str, by: str, strokes: Mapping[str, Stroke]
) -> None:
    """Put a cross where each diverged run's lines end, and a label at the run's first.

    Parameters
    ----------
    axes : Axes
    rows : DataFrame
        ``series``, ``run``, ``update``, ``diverged_at``, `by` and `column`.
    column : str
        The height of the cross. Where it is NaN (the run has no update) nothing is drawn.
    by : str
        What tells the strokes apart.
    strokes : mapping of str to Stroke
    """
    ended = draw_ends(axes, rows, column, by, strokes)
    axes.autoscale_view()
    labelled: list[np.ndarray] = []
    for row in ended.drop_duplicates("run").to_dict("records"):
        at = (row["update"], row[column])
        place = axes.transAxes.inverted().transform(axes.transData.transform(at))
        near = sum(bool((np.abs(place - other) < NEAR).all()) for other in labelled)
        labelled.append(place)
        _label_point(axes, at, place, _divergence(row).replace("at ", "at\n"), 6 + 20 * near)


def draw_ends(
    axes: Axes, rows: pd.DataFrame, column: str, by: str, strokes: Mapping[str, Stroke]
) -> pd.DataFrame:
    """Draw the crosses of `mark_divergences` without labels; return their rows."""
    ended = rows[(rows["series"] == DIVERGED) & np.isfinite(rows[column])]
    for x, y, name in zip(ended["update"], ended[column], ended[by], strict=True):
        color = strokes[name].color
        axes.plot(x, y, "x", color=color, markersize=7, markeredgewidth=1.8, zorder=5)
    return ended


def _label_point(
    axes: Axes, at: tuple[float, float], place: np.ndarray, text: str, distance: float
) -> None:
    right, upper = place > 0.5
    axes.annotate(
        text,
        at,
        xytext=(0, -distance if upper else distance),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top" if upper else "bottom",
        fontsize=7,
        linespacing=1.0,
        path_effects=[withStroke(linewidth=3, foreground="white")],
        zorder=6,
    )


def _divergence(row: dict) -> str:
    return f"diverged at update {row['diverged_at']:,}"


def group_entries(table: pd.DataFrame, strokes: dict[str, Stroke]) -> list[tuple[Line2D, str]]:
    """Return the legend's entries for the groups, with their runs, and whether means are drawn."""
    lines = table[table["run"] != ""].groupby("group", sort=False)["run"].nunique()
    averaged = set(table.loc[table["series"] == MEAN, "group"])
    entries = []
    for group, number in lines.items():
        sample = Line2D([], [], **strokes[group].line(), marker=strokes[group].marker)
        sample.set(linewidth=BOLD, markersize=4)
        several = f"{group} ({'mean of ' * (group in averaged)}{number} runs)"
        entries.append((sample, several if number > 1 else group))
    if averaged:
        entries.append((Line2D([], [], color=NEUTRAL, linewidth=THIN), "thin: single runs"))
    return entries


def divergence_entries(table: pd.DataFrame) -> list[tuple[Line2D, str]]:
    """Return the legend's entries for the diverged runs, one a run."""
    cross = {"color": "black", "marker": "x", "markersize": 6, "linestyle": "none"}
    ended = table[table["series"] == DIVERGED].drop_duplicates("run")
    return [
        (Line2D([], [], **cross), f"{row['label']}: {_divergence(row)}")
        for row in ended.to_dict("records")
    ]
