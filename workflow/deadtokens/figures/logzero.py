"""A logarithmic axis that keeps exact zeros in sight."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from deadtokens.figures.bins import HIGHEST, LOWEST
from deadtokens.figures.style import power_of_ten

STRIP_COLOR = "#f4ecd2"
MOST_TICKS = 7


@dataclass(frozen=True)
class LogScaleWithZero:
    """The decades from `lowest` to `highest`, and below them a strip where zeros are drawn.

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

    def apply(self, axes: Axes) -> None:
        """Make the vertical axis this scale, with the strip shaded and labelled 0."""
        axes.set_yscale("log")
        axes.set_ylim(10.0 ** (self.lowest - self.has_zero), 10.0**self.highest)
        every = -(-(self.highest - self.lowest) // MOST_TICKS)
        ticks = {10.0**n: power_of_ten(n) for n in range(self.lowest, self.highest + 1, every)}
        if self.has_zero:
            top = 10.0 ** (self.lowest - 0.15)
            axes.axhspan(10.0 ** (self.lowest - 1), top, color=STRIP_COLOR, zorder=0)
            ticks = {self.height_of_zero: "0", **ticks}
        axes.yaxis.set_major_locator(FixedLocator(list(ticks)))
        axes.set_yticks(list(ticks), list(ticks.values()))
        axes.yaxis.set_minor_locator(NullLocator())

    def entries(self) -> list[tuple[Patch, str]]:
        """Return the legend's entry for the strip, if there is one."""
        return [(Patch(color=STRIP_COLOR), "exactly 0")] if self.has_zero else []
