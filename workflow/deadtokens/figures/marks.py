"""How outcomes of runs are drawn: every seed a mark, their mean and its interval beside them."""

import textwrap
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType

from deadtokens.comparison.intervals import FEWEST
from deadtokens.comparison.settings import short, unit
from deadtokens.figures import style
from deadtokens.figures.axes import ScaleWithNone
from deadtokens.figures.seeds import FRACTIONS, MEAN, RUN, by_seed, missing

NO_INTERVAL = "one seed: no interval"
DOT = {"linestyle": "", "marker": "o", "markersize": 3.2, "zorder": 2}
HOLLOW = DOT | {"markerfacecolor": "white", "zorder": 2}
CROSS = DOT | {"marker": "x", "markersize": 4.2, "markeredgewidth": 1.1}
DIAMOND = {"linestyle": "", "marker": "D", "markersize": 3.4, "color": "black", "zorder": 3}
BAR = {"color": "black", "linewidth": 1.1, "zorder": 3}
ZERO = {"color": style.NEUTRAL, "linewidth": 0.8, "linestyle": (0, (4, 2)), "zorder": 0}
THIN = {"linewidth": 0.5, "alpha": 0.6, "zorder": 1}
BOLD = {"linewidth": 1.3, "markersize": 4.6, "zorder": 3}
SMALL = 6.5  # points, of what stands above and beside panels
Entries = list[tuple[object, str]]


def scale_of(rows: pd.DataFrame, of_differences: bool = False) -> ScaleWithNone:
    """Return the axis of an outcome's rows, with 0 of differences, with 0 and 1 of fractions."""
    is_fraction = rows["outcome"].iloc[0] in FRACTIONS
    shown = [0] if of_differences else [0, 1] if is_fraction else []
    drawn = rows[(rows["series"] != MEAN) | (rows["seeds"] >= FEWEST)]
    single = drawn.loc[drawn["series"] != MEAN, "value"]
    return ScaleWithNone.spanning(single, drawn["low"], drawn["high"], shown=shown)


def draw_runs(axes: Axes, rows: pd.DataFrame, x: pd.Series, y: pd.Series, color: ColorType) -> None:
    """Draw a mark a run: a dot, hollow where it has no number, a cross where it diverged."""
    diverged = rows["diverged"].fillna(False).astype(bool)
    known = rows["value"].notna()
    for chosen, mark in ((~diverged & known, DOT), (~diverged & ~known, HOLLOW), (diverged, CROSS)):
        if chosen.any():
            axes.plot(x[chosen], y[chosen], color=color, **mark)


def draw_lines(axes: Axes, rows: pd.DataFrame, scale: ScaleWithNone, stroke: style.Stroke) -> None:
    """Draw a line's runs, those of a seed joined, and their means, joined, with intervals.

    Parameters
    ----------
    axes : Axes
    rows : DataFrame
        Of one line, with the column ``place``: where along the axis each stands.
    scale : ScaleWithNone
        Of the vertical axis.
    stroke : Stroke
    """
    rows = rows.sort_values("place", kind="stable")
    runs, means = rows[rows["series"] == RUN], rows[rows["series"] == MEAN]
    apart = shifts(sorted(runs["seed"].unique()), 0.6)
    for seed, members in runs.groupby("seed"):
        axes.plot(members["place"], members["value"], **stroke.line() | THIN)
        heights = scale.place(members["value"], apart[seed])
        draw_runs(axes, members, members["place"], heights, stroke.color)
    means = means[means["seeds"] >= FEWEST]  # a line breaks where there is no mean
    axes.vlines(means["place"], means["low"], means["high"], **BAR | {"color": stroke.color})
    axes.plot(means["place"], means["value"], **stroke.line() | BOLD, marker=stroke.marker)


def shifts(names: Iterable[str], width: float) -> dict[str, float]:
    """Return by how much marks that belong to one place are moved apart, for each name."""
    names = list(dict.fromkeys(names))
    if len(names) == 1:
        return {names[0]: 0.0}
    return dict(zip(names, np.linspace(-width / 2, width / 2, len(names)), strict=True))


def name_of_key(key: str) -> str:
    """Write what stands at the axis of a key."""
    in_unit = f" [{unit(key)}]" if unit(key) else ""
    return style.as_drawn(short(key)) + in_unit


def name_of(row: pd.Series) -> str:
    """Write what stands at an outcome's axis."""
    in_unit = "" if row["unit"] == "1" else f" [{row['unit']}]"
    return style.as_drawn(row["outcome"].replace("_", " ") + in_unit)


def set_meanings(figure: Figure, panels: Mapping[Axes, pd.Series], width: int) -> None:
    """Write above each panel what its outcome is, on lines of `width` characters."""
    titles = {axes: meaning_of(row, width) for axes, row in panels.items()}
    style.set_titles(figure, titles, fontsize=SMALL)


def meaning_of(row: pd.Series, width: int) -> str:
    """Write what an outcome is, on lines of `width` characters."""
    return textwrap.fill(style.as_drawn(row["meaning"]), width)


def entries_of_missing(table: pd.DataFrame) -> Entries:
    """Return the legend's entries for runs without a number, by reason, and for diverged ones."""
    color = {"color": style.NEUTRAL}
    entries: Entries = [
        (Line2D([], [], **color | HOLLOW), f"none ({', '.join(names)}): {reason}; {number}")
        for reason, names, number in missing(table)
    ]
    if table["diverged"].any():
        entries.append((Line2D([], [], **color | CROSS), "diverged, measured as far as it went"))
    return entries


def entries_of_seeds(colors: Mapping[int, str]) -> Entries:
    """Return the legend's entries for the seeds, and for their mean if there are several."""
    dots = tuple(Line2D([], [], color=color, **DOT) for color in colors.values())
    names = ", ".join(f"{seed}" for seed in colors)
    if len(colors) == 1:
        return [(dots, f"seed {names} ({NO_INTERVAL})")]
    mean = Line2D([], [], **DIAMOND | {"linestyle": "-", "linewidth": BAR["linewidth"]})
    return [(dots, f"seeds {names}"), (mean, "mean of the seeds, 95 % interval")]


def entries_of_lines(strokes: Mapping[str, style.Stroke], table: pd.DataFrame) -> Entries:
    """Return the legend's entries for lines by their names, and for what is drawn of each."""
    names = ", ".join(f"{seed}" for seed in by_seed(table))
    alone = len(by_seed(table)) < FEWEST
    entries: Entries = []
    for name, stroke in strokes.items():
        marks = DOT | THIN if alone else BOLD | {"marker": stroke.marker}
        entries.append((Line2D([], [], **marks | stroke.line()), name))
    thin = Line2D([], [], color=style.NEUTRAL, **DOT | THIN | {"linestyle": "-"})
    if alone:
        return [*entries, (thin, f"seed {names} ({NO_INTERVAL})")]
    bold = Line2D([], [], color=style.NEUTRAL, **BOLD)
    words = "bold: mean of the seeds, bar: its 95 % interval"
    return [*entries, (thin, f"thin: seeds {names}"), (bold, words)]
