"""Panels and their axes.

Grids of panels, axes of updates, logarithmic axes with and without 0, axes with a place for none.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from deadtokens.figures import style
from deadtokens.figures.bins import HIGHEST, LOWEST, longest_bin

STRIP_COLOR = "#f4ecd2"
MOST_TICKS = 7
MARGIN, STRIP = 0.05, 0.14  # beside the numbers of an axis, and for what has none: of their range
TITLE_WIDTH = 96  # characters, of the titles of one row of panels


@dataclass(frozen=True)
class Grid:
    """Panels in rows and columns, one a run or a group of runs, with common axes.

    Attributes
    ----------
    figure : Figure
    panels : list of Axes
        Row by row.
    left : list of Axes
        Those of the first column.
    lowest : list of Axes
        Those without another one below.
    """

    figure: Figure
    panels: list[Axes]
    left: list[Axes]
    lowest: list[Axes]


def grid(
    number: int, columns: int, height: float, margin: float, sharey: bool | str = True
) -> Grid:
    """Return a figure with so many panels.

    Parameters
    ----------
    number, columns : int
        At least 1.
    height, margin : float
        Inches: of a row of panels, and of what stands above or below all of them.
    sharey : bool or str
        Which panels have one vertical axis, as matplotlib takes it; the horizontal one they always
        share.
    """
    rows = -(-number // columns)
    figure = style.blank(height=margin + height * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=sharey, squeeze=False)
    for spare in panels.flat[number:]:
        spare.remove()
    lowest = list(panels.flat[:number][-columns:])
    for axes in lowest:
        axes.tick_params(labelbottom=True)
    return Grid(figure, list(panels.flat[:number]), list(panels[:, 0]), lowest)


def titled_grid(
    titles: Sequence[Sequence[str]],
    columns: int,
    height: float,
    margin: float,
    ylabel: str,
    sharey: bool = True,
) -> Grid:
    """Return a figure with a panel for each title, the left ones with a label.

    Parameters
    ----------
    titles : sequence of sequence of str
        The lines of each, hostile or not; they are wrapped where they are wider than a panel.
    columns, height, margin, sharey
        As for `grid`.
    ylabel : str
    """
    drawing = grid(len(titles), columns, height, margin, sharey)
    wrapped = {
        axes: "\n".join(style.as_drawn(line, TITLE_WIDTH // columns) for line in lines)
        for axes, lines in zip(drawing.panels, titles, strict=True)
    }
    style.set_titles(drawing.figure, wrapped)
    for axes in drawing.left:
        axes.set_ylabel(ylabel)
    return drawing


def draw_named_bars(
    axes: Axes, names: Iterable[str], sizes: Iterable[float], texts: Sequence[str], **look: object
) -> None:
    """Draw horizontal bars, the first on top, with their names before and texts behind them."""
    names = [style.as_drawn(name, 30) for name in names]
    bars = axes.barh(range(len(names)), sizes, **look)
    axes.bar_label(bars, texts, padding=2, fontsize=7.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(1, len(names)) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def label_updates(axes: Axes, rows: pd.DataFrame) -> None:
    """Label the axis of updates, and say so where not every update is drawn by itself."""
    last = max(1, rows["update"].max(), *rows.get("last_update", pd.Series()).dropna())
    axes.set_xlim(-0.02 * last, 1.02 * last)
    axes.set_xlabel(f"update{_gathering(rows)}")
    steps_of_ticks = [1, 2, 2.5, 5, 10]
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1, steps=steps_of_ticks))
    axes.xaxis.set_major_formatter(style.THOUSANDS)


def _gathering(rows: pd.DataFrame) -> str:
    together = longest_bin(rows)
    if together > 1:
        return f" (in bins of {together})"
    steps = np.diff(np.unique(rows["update"]))
    every = int(np.median(steps)) if steps.size else 1
    return f" (one in {every} drawn)" if every > 1 else ""


def label_log_updates(axes: Axes, rows: pd.DataFrame, filled: bool = False) -> None:
    """Make the horizontal axis logarithmic over the updates of `rows`, from the first one on.

    It is for what changes fast early and slowly late. Areas that are `filled` reach from the first
    update to the end of the last one; lines and marks get margins.
    """
    columns = [name for name in ("update", "last_update", "last") if name in rows]
    last = max([1, *(rows[name].max() for name in columns if rows[name].notna().any())])
    axes.set_xscale("log")
    axes.set_xlim(*((1, last + 1) if filled else (0.85, 1.2 * max(2, last))))
    axes.set_xlabel("update")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if last < 50 else (1,)))
    axes.xaxis.set_major_formatter(style.THOUSANDS)
    axes.xaxis.set_minor_formatter(NullFormatter())


def label_powers(axes: Axes, which: str, label: str = "") -> None:
    """Make the axis ('x' or 'y') logarithmic, its ticks powers of ten without markup."""
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    if not math.isfinite(axis.get_minpos()):  # nothing is drawn
        axes.set(**{f"{which}lim": (0.1, 1)})
    axes.set(**{f"{which}scale": "log", f"{which}label": label})
    axis.set_major_locator(LogLocator(numticks=8))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: power_of_ten(round(math.log10(value))) if value else "")
    )
    axis.set_minor_formatter(NullFormatter())


def power_of_ten(exponent: int) -> str:
    """Write a power of ten without the markup that hostile labels could use too."""
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def label_few_decades(axes: Axes, values: pd.Series) -> None:
    """Make the vertical axis logarithmic, its ticks plain numbers, more of them in few decades."""
    axes.set_yscale("log")
    if values.empty:
        axes.set_ylim(0.1, 1)
    few = values.empty or values.max() < 100 * values.min()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


@dataclass(frozen=True)
class LogScaleWithZero:
    """A logarithmic axis that keeps exact zeros in sight.

    It has the decades from `lowest` to `highest`, and below them a strip where zeros are drawn.

    Attributes
    ----------
    lowest, highest : int
        Powers of ten that hold all positive values between them.
    has_zero : bool
        Whether there is a strip at all.
    """

    lowest: int
    highest: int
    has_zero: bool

    @classmethod
    def spanning(cls, values: pd.Series) -> "LogScaleWithZero":
        """Return the scale that shows all of `values` (not negative; only finite ones count)."""
        positive = values[(values > 0) & np.isfinite(values)]
        has_zero = bool((values == 0).any())
        if positive.empty:
            return cls(0, 1, has_zero)
        lowest = int(np.floor(np.log10(positive.min())))
        return cls(lowest, max(int(np.ceil(np.log10(positive.max()))), lowest + 1), has_zero)

    @classmethod
    def of_bins(cls, rows: pd.DataFrame, column: str, *more: pd.Series) -> "LogScaleWithZero":
        """Return the scale that shows the values of `column`, the range of their bins, and more."""
        return cls.spanning(pd.concat([rows[LOWEST], rows[column], rows[HIGHEST], *more]))

    @property
    def height_of_zero(self) -> float:
        """Where on the logarithmic axis the zeros are drawn: half a decade below its foot."""
        return 10.0 ** (self.lowest - 0.5)

    def place(self, values: pd.Series) -> pd.Series:
        """Return the values as they are drawn: zeros in the strip, all others where they are."""
        return values.mask(values == 0, self.height_of_zero)

    def place_rows(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Return the rows with `column`, and the range of its bins, as they are drawn."""
        columns = [name for name in (LOWEST, column, HIGHEST) if name in rows]
        return rows.assign(**{name: self.place(rows[name]) for name in columns})

    def apply(self, axes: Axes, most_ticks: int = MOST_TICKS) -> None:
        """Make the vertical axis this scale, with the strip shaded and labelled 0."""
        axes.set_yscale("log")
        axes.set_ylim(10.0 ** (self.lowest - self.has_zero), 10.0**self.highest)
        every = -(-(self.highest - self.lowest) // most_ticks)
        foot = self.lowest + (every - 1) / 2 if self.has_zero else self.lowest  # not at the 0
        powers = (power for power in range(self.highest, self.lowest - 1, -every) if power >= foot)
        ticks = {10.0**power: power_of_ten(power) for power in powers}
        if self.has_zero:
            top = 10.0 ** (self.lowest - 0.15)
            axes.axhspan(10.0 ** (self.lowest - 1), top, color=STRIP_COLOR, zorder=0)
            ticks = {self.height_of_zero: "0", **ticks}
        axes.set_yticks(list(ticks), list(ticks.values()))
        axes.yaxis.set_minor_locator(NullLocator())

    def entries(self) -> list[tuple[Patch, str]]:
        """Return the legend's entry for the strip, if there is one."""
        return [(Patch(color=STRIP_COLOR), "exactly 0")] if self.has_zero else []


@dataclass(frozen=True)
class ScaleWithNone:
    """An axis that shows what has no number too, in a strip beyond its end.

    Attributes
    ----------
    low, high : float
        The ends of the numbers' part.
    has_none : bool
        Whether there is a strip at all.
    has_numbers : bool
        Whether there is anything else.
    strip : float
        How wide that strip is, of the numbers' part.
    """

    low: float
    high: float
    has_none: bool
    has_numbers: bool
    strip: float = STRIP

    @classmethod
    def spanning(
        cls,
        values: pd.Series,
        *more: pd.Series,
        shown: Sequence[float] = (),
        strip: float = STRIP,
    ) -> "ScaleWithNone":
        """Return the scale of `values`, NaN where there is none, that shows `more` besides.

        What is `shown` in any case makes no scale alone.
        """
        drawn = np.array([*values, *(value for others in more for value in others)], float)
        has_numbers = bool(np.isfinite(drawn).any())
        known = [*drawn[np.isfinite(drawn)], *shown] if has_numbers else [0.0, 1.0]
        low, high = min(known), max(known)
        margin = MARGIN * ((high - low) or abs(high) or 1)
        return cls(low - margin, high + margin, bool(values.isna().any()), has_numbers, strip)

    @property
    def _width(self) -> float:
        return self.strip * (self.high - self.low)

    @property
    def place_of_none(self) -> float:
        """Where on the axis the marks without a number are drawn."""
        return self.high + self._width / 2

    def place(self, values: pd.Series, shift: float = 0.0) -> pd.Series:
        """Return the values as they are drawn: those without a number in the strip.

        There they are moved by `shift`, a part of its width.
        """
        at = self.place_of_none + shift * self._width
        return values.astype(float).fillna(at)

    def apply(self, axes: Axes, which: str, most_ticks: int = 4) -> None:
        """Make the axis ('x' or 'y') this scale, with the strip shaded and labelled none."""
        apart = 1.5 * STRIP * (self.high - self.low)  # labels nearer to each other would overlap
        last = self.place_of_none - apart if self.has_none and which == "x" else self.high
        locator = MaxNLocator(most_ticks, steps=[1, 2, 2.5, 5, 10])
        values = [
            value
            for value in locator.tick_values(self.low, self.high)
            if self.has_numbers and self.low <= value <= last
        ]
        ticks = {value: f"{value + 0.0:,.6g}".replace("-", "−") for value in values}
        top = self.high
        if self.has_none:
            top += self._width
            shade = {"x": axes.axvspan, "y": axes.axhspan}[which]
            shade(self.high, top, color=STRIP_COLOR, linewidth=0, zorder=0)
            ticks[self.place_of_none] = "none"
        axes.set(**{f"{which}lim": (self.low, top)})
        axes.set(**{f"{which}ticks": list(ticks), f"{which}ticklabels": list(ticks.values())})
