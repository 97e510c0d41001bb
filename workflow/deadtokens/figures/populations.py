"""Quantiles over tokens as a line with two bands, one population in one colour."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import style
from deadtokens.figures.logzero import LogScaleWithZero

MEDIAN = 0.5
WIDE, NARROW = (0.05, 0.95), (0.25, 0.75)
OPACITY = {WIDE: 0.2, NARROW: 0.35}
OPACITY_IN_LEGEND = {WIDE: 0.2, NARROW: 0.48}  # the narrow band lies on the wide one


def draw_bands(axes: Axes, rows: pd.DataFrame, column: str, scale: LogScaleWithZero) -> None:
    """Draw each population's median and bands.

    Parameters
    ----------
    axes : Axes
    rows : DataFrame
        ``population``, ``quantile``, ``update`` and `column`.
    column : str
    scale : LogScaleWithZero
    """
    for population, values in rows.groupby("population", sort=False):
        stroke = style.POPULATIONS[population]
        heights = values.pivot(index="update", columns="quantile", values=column)
        heights = heights.apply(scale.place)
        alone = len(heights) == 1
        for (low, high), alpha in OPACITY.items():
            band = {"color": stroke.color, "alpha": alpha, "linewidth": 3 if alone else 0}
            axes.fill_between(heights.index, heights[low], heights[high], **band)
        dot = "." if alone else ""
        axes.plot(heights.index, heights[MEDIAN], **stroke.line(), linewidth=0.9, marker=dot)


def band_entries(rows: pd.DataFrame) -> list[tuple[object, str]]:
    """Return the legend's entries for the populations in `rows`, and for the bands."""
    entries: list[tuple[object, str]] = []
    for population, values in rows.groupby("population", sort=False):
        stroke = style.POPULATIONS[population]
        name = f"{population} tokens (n = {style.number_of(values['tokens'])})"
        entries.append((Line2D([], [], **stroke.line()), f"{name}: median"))
    for (low, high), alpha in OPACITY_IN_LEGEND.items():
        band = Patch(color=style.NEUTRAL, alpha=alpha, linewidth=0)
        entries.append((band, f"{low:.0%} to {high:.0%} of the tokens"))
    return entries
