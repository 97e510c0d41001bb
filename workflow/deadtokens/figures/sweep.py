"""How outcomes depend on a number, every seed shown.

An experiment that varies a number over three values or more while all else is equal. A panel for
the primary outcome, which was named before any run was compared, and one for each of a few
secondary ones; a line for each setting of the other keys. Each dot is a run, a thin line joins the
runs of a seed, a bold one their means, whose bars are 95 % intervals by Student's t over the seeds.
One seed has neither mean nor interval. Runs without a number, as one half of whose tokens never
settled, stand hollow in the strip on top, and the legend says why; their setting then has no mean.
A cross is a run that diverged. The axis of a decay rate beta is that of 1 - beta, and logarithmic.
Grey where beta2 is varied and moments are in bfloat16: where 1 - beta2 is below 2⁻⁹, beta2 v rounds
back to v for every v, so that the second moment cannot fall; up to 2⁻⁸ it does for some. Values of
which one is 0 are evenly spaced.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from deadtokens.comparison.settings import named_value
from deadtokens.comparison.shapes import SWEEP, swept_key
from deadtokens.figures import marks, seeds, style
from deadtokens.figures.axes import grid, label_powers
from deadtokens.figures.columns import numbers, texts
from deadtokens.figures.lines import strokes
from deadtokens.run.precision import BF16, REGIMES

DECAYS = ("beta1", "beta2")
TYPES = (
    seeds.OUTCOME
    | texts("key", "written")
    | numbers("number")
    | texts("group", "regime")
    | seeds.VALUES
)
COLUMNS, HEIGHT = 2, 1.75  # panels; inches
TITLE_WIDTH = 56
MOST_UPRIGHT = 5  # labels of ticks
MOST_TICKS = 12
MARGIN = 0.06  # beside the numbers, of their range
WIDE = 10  # times as large as the least: the axis is logarithmic
ROUNDS_BACK = {  # from a value of 1 - beta2 on down to another: the shade, and for which v
    (2.0**-9, 0.0): ("#d5d5d5", "1 − beta2 < 2⁻⁹: beta2 v rounds to v for every v"),
    (2.0**-8, 2.0**-9): ("#ececec", "1 − beta2 < 2⁻⁸: for some v"),
}


def _table(data: xr.Dataset) -> pd.DataFrame:
    """Return a row a run and outcome, and a row a setting: the mean.

    ``number`` is the value of ``key`` that the run uses, ``written`` the same as the experiment
    has it; ``group`` are the other settings.
    """
    varied = seeds.varied_in(data)
    key = swept_key(varied)
    place = varied.keys.index(key)
    others = [name for name in varied.keys if name != key]
    groups = [
        ", ".join(named_value(*pair) for pair in zip(others, setting, strict=True))
        for setting in varied.others(key)
    ]
    columns = {
        "key": key,
        "group": groups,
        "written": [setting[place] for setting in varied.settings],
        "number": [values[place] for values in varied.numbers],
    }
    runs = seeds.of_runs(data, seeds.shown(data), **columns)
    if not others:
        runs = runs.assign(group=runs["regime"])
    return seeds.with_means(runs, ["key", "written", "number", "group", "regime"])


def _draw(table: pd.DataFrame) -> Figure:
    outcomes = [rows for _, rows in table.groupby("outcome", sort=False)]
    drawing = grid(len(outcomes), COLUMNS, HEIGHT, 0.5, sharey=False)
    looks = {
        name: stroke if stroke.marker else replace(stroke, marker="o")
        for name, stroke in strokes(table).items()
    }
    axis = _Axis.of(table)
    for axes, rows in zip(drawing.panels, outcomes, strict=True):
        scale = marks.scale_of(rows)
        for name, line in rows.groupby("group", sort=False):
            marks.draw_lines(
                axes, line.assign(place=axis.places(line["number"])), scale, looks[name]
            )
        scale.apply(axes, "y")
        axes.set_ylabel(marks.name_of(rows.iloc[0]))
    firsts = dict(zip(drawing.panels, [rows.iloc[0] for rows in outcomes], strict=True))
    marks.set_meanings(drawing.figure, firsts, TITLE_WIDTH)
    for axes in drawing.panels:
        axis.apply(axes)
    for axes in drawing.lowest:
        axes.set_xlabel(axis.label)
    borders = axis.shade(drawing.panels)
    lines = marks.entries_of_lines(looks, table)
    style.legend_below(drawing.figure, [*lines, *borders, *marks.entries_of_missing(table)])
    return drawing.figure


@dataclass(frozen=True)
class _Axis:
    """Where along the axis numbers stand.

    Attributes
    ----------
    key : str
    numbers : tuple of float
        Each once, ascending.
    regimes : tuple of str
        Those with moments in bfloat16.
    """

    key: str
    numbers: tuple[float, ...]
    regimes: tuple[str, ...]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "_Axis":
        names = [name for name in dict.fromkeys(table["regime"]) if name in REGIMES]
        rounded = tuple(name for name in names if REGIMES[name].moments == BF16)
        return cls(table["key"].iloc[0], tuple(sorted(set(table["number"]))), rounded)

    @property
    def is_decay(self) -> bool:
        return self.key in DECAYS

    @property
    def is_even(self) -> bool:
        return not self.is_decay and self.numbers[0] <= 0

    @property
    def is_log(self) -> bool:
        wide = self.numbers[-1] >= WIDE * self.numbers[0]
        return self.is_decay or (not self.is_even and wide)

    @property
    def label(self) -> str:
        if self.is_decay:
            return f"{self.key} (axis: 1 − {self.key}, logarithmic)"
        return marks.name_of_key(self.key) + " (evenly spaced)" * self.is_even

    def places(self, numbers: Iterable[float]) -> list[float]:
        """Return where numbers stand."""
        if self.is_decay:
            return [1 - number for number in numbers]
        return [self.numbers.index(one) if self.is_even else one for one in numbers]

    def apply(self, axes: Axes) -> None:
        """Make this the horizontal axis, its ticks the numbers, with room at the ends."""
        places = np.array(self.places(self.numbers))
        if self.is_log:
            axes.set_xscale("log")
        line = np.log(places) if self.is_log else places
        margin = MARGIN * (line[-1] - line[0])
        ends = np.array([line[0] - margin, line[-1] + margin])
        axes.set_xlim(*(np.exp(ends) if self.is_log else ends))
        ticks = {place: f"{number:g}" for place, number in zip(places, self.numbers, strict=True)}
        if len(ticks) <= MOST_TICKS:
            turn = {"rotation": 90, "fontsize": 6.5} if len(ticks) > MOST_UPRIGHT else {}
            axes.set_xticks(list(ticks), list(ticks.values()), **turn)
            axes.xaxis.set_minor_locator(NullLocator())
        elif self.is_log:
            label_powers(axes, "x")

    def shade(self, panels: Sequence[Axes]) -> list[tuple[Patch, str]]:
        """Shade where a second moment in bfloat16 cannot fall; return the legend's entries."""
        if self.key != "beta2" or not self.regimes:
            return []
        for axes in panels:
            lowest = min(axes.get_xlim())
            for (high, low), (color, _) in ROUNDS_BACK.items():
                if high > lowest:
                    axes.axvspan(max(low, lowest), high, color=color, linewidth=0, zorder=-1)
        about = f"in bfloat16 ({', '.join(self.regimes)})"
        return [(Patch(color=color), f"{words}, {about}") for color, words in ROUNDS_BACK.values()]


RECIPE = seeds.recipe(
    "sweep",
    "How the outcomes depend on a number",
    types=TYPES,
    table=_table,
    draw=_draw,
    shape=SWEEP,
)
