"""What two settings do together, every seed shown.

An experiment that varies two keys over a full grid, or three. A panel for the primary outcome,
which was named before any run was compared, and one for each of a few secondary ones: along the
axis the values of the first key, a line for each value of the second, and of three keys a column of
panels for each value of the third. Lines that run parallel mean that the two settings add up; where
they do not, what one does depends on the other. Each dot is a run, a thin line joins the runs of a
seed, a bold one their means, whose bars are 95 % intervals by Student's t over the seeds. Values
are evenly spaced, lines moved apart. One seed has neither mean nor interval. Runs without a number,
as one half of whose tokens never settled, stand hollow in the strip on top, and the legend says
why; their setting then has no mean. A cross is a run that diverged. The interactions themselves,
paired by seed, are in the figure ``effects`` and in effects.csv.
"""

from dataclasses import replace

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deadtokens.comparison.settings import named_value
from deadtokens.comparison.shapes import GRID, PRECISION, grid_keys
from deadtokens.figures import marks, seeds, style
from deadtokens.figures.axes import Grid, ScaleWithNone, grid
from deadtokens.figures.columns import texts
from deadtokens.figures.lines import MARKERS

PARTS = ("along", "line", "panel")
NAMES = [name for part in PARTS for name in (f"{part}_key", part)]
TYPES = seeds.OUTCOME | texts(*NAMES) | seeds.VALUES
COLUMNS = 3  # of panels, where no key makes them
TITLE_WIDTHS = (0, 96, 50, 32, 22)  # characters, by the number of columns
LEVELS_WIDTH = 72  # characters, of the values along the axes of a row of panels
TURNED_WIDTH = 40  # of a value that has no room there
MEANING_WIDTH = 28  # beside a row of panels
APART = 0.2  # of the distance of two values: the outermost lines
COLORS = ("#1f4e79", "#c2571a", "#6aa84f", "#222222")
DASHES = ((), (5, 1.5), (1.5, 1), (6, 1.5, 1.5, 1.5))
HEIGHT, HEIGHT_OF_MANY = 1.75, 1.45  # inches, of a row of panels; where the third key makes them


def _table(data: xr.Dataset) -> pd.DataFrame:
    """Return a row a run and outcome, and a row a setting: the mean.

    ``along``, ``line`` and ``panel`` are the values of up to three keys, in the order in which they
    are drawn.
    """
    varied = seeds.varied_in(data)
    keys = dict(zip(PARTS, grid_keys(varied), strict=False))
    places = {part: varied.keys.index(key) for part, key in keys.items()}

    def rank(run: int) -> list[int]:
        setting = varied.settings[run]
        return [varied.levels(key).index(setting[places[part]]) for part, key in keys.items()]

    order = sorted(range(len(varied.settings)), key=rank)
    columns: dict[str, object] = dict.fromkeys(NAMES, "")
    for part, key in keys.items():
        values = [varied.settings[run][places[part]] for run in order]
        columns |= {f"{part}_key": key, part: values}
    runs = seeds.of_runs(data.isel(run=order), seeds.shown(data), **columns)
    return seeds.with_means(runs, NAMES)


def _draw(table: pd.DataFrame) -> Figure:
    panels = [rows for _, rows in table.groupby(["outcome", "panel"], sort=False)]
    of_panels = table["panel"].nunique()
    columns = of_panels if of_panels > 1 else COLUMNS
    height = HEIGHT_OF_MANY if of_panels > 1 else HEIGHT
    drawing = grid(len(panels), columns, height, 0.4, sharey=False)
    strokes = _strokes(table)
    for axes, rows in zip(drawing.panels, panels, strict=True):
        outcome = table[table["outcome"] == rows["outcome"].iloc[0]]
        _draw_panel(axes, rows, marks.scale_of(outcome), strokes, columns)
    firsts = dict(zip(drawing.panels, [rows.iloc[0] for rows in panels], strict=True))
    if of_panels > 1:
        _name_rows_and_columns(drawing, firsts)
    else:
        marks.set_meanings(drawing.figure, firsts, TITLE_WIDTHS[COLUMNS])
        for axes, row in firsts.items():
            axes.set_ylabel(marks.name_of(row))
    for axes in drawing.lowest:
        axes.set_xlabel(marks.name_of_key(table["along_key"].iloc[0]))
    named = {named_value(table["line_key"].iloc[0], level): one for level, one in strokes.items()}
    entries = [*marks.entries_of_lines(named, table), *marks.entries_of_missing(table)]
    style.legend_below(drawing.figure, entries)
    return drawing.figure


def _strokes(table: pd.DataFrame) -> dict[str, style.Stroke]:
    """Return how each line is drawn: as its regime, if that is what tells lines apart."""
    of_regimes = table["line_key"].iloc[0] == PRECISION
    strokes = {}
    for place, level in enumerate(dict.fromkeys(table["line"])):
        look = style.Stroke(COLORS[place % len(COLORS)], DASHES[place % len(DASHES)])
        stroke = style.REGIMES.get(level, look) if of_regimes else look
        strokes[level] = replace(stroke, marker=MARKERS[place % len(MARKERS)])
    return strokes


def _draw_panel(
    axes: Axes,
    rows: pd.DataFrame,
    scale: ScaleWithNone,
    strokes: dict[str, style.Stroke],
    columns: int,
) -> None:
    levels = list(dict.fromkeys(rows["along"]))
    apart = marks.shifts(strokes, APART)
    places = rows["along"].map(levels.index) + rows["line"].map(apart)
    for level, line in rows.assign(place=places).groupby("line", sort=False):
        marks.draw_lines(axes, line, scale, strokes[level])
    axes.set_xlim(-0.5, len(levels) - 0.5)
    room = LEVELS_WIDTH // (columns * len(levels))
    if max(map(len, levels)) <= room:
        axes.set_xticks(range(len(levels)), [style.as_drawn(level) for level in levels])
    else:
        turned = [style.as_drawn(level, TURNED_WIDTH) for level in levels]
        axes.set_xticks(range(len(levels)), turned, rotation=90, fontsize=marks.SMALL)
    scale.apply(axes, "y")


def _name_rows_and_columns(drawing: Grid, firsts: dict[Axes, pd.Series]) -> None:
    """Write above panels the values of the third key, at the left of a row what its outcome is."""
    width = TITLE_WIDTHS[len(firsts) // len(drawing.left)]
    titles = {
        axes: style.as_drawn(named_value(row["panel_key"], row["panel"]), width)
        for axes, row in firsts.items()
    }
    style.set_titles(drawing.figure, titles, fontsize=marks.SMALL)
    for axes in drawing.left:
        row = firsts[axes]
        label = f"{marks.name_of(row)}\n{marks.meaning_of(row, MEANING_WIDTH)}"
        axes.set_ylabel(label, fontsize=marks.SMALL)


RECIPE = seeds.recipe(
    "factorial",
    "What two settings do together",
    types=TYPES,
    table=_table,
    draw=_draw,
    shape=GRID,
)
