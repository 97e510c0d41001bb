"""Quantiles over tokens as a line with two bands, one population in one colour."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import style
from deadtokens.figures.bins import HIGHEST, LOWEST, longest_bin, middles
from deadtokens.figures.columns import BIN, DIVERGED_AT, NAMES, TOKENS, numbers, texts
from deadtokens.figures.curves import EACH, curve
from deadtokens.figures.runs import Run, populations

MEDIAN = 0.5
MIDDLE = "middle"
WIDE, NARROW = (0.05, 0.95), (0.25, 0.75)
OPACITY = {WIDE: 0.2, NARROW: 0.35}
OPACITY_IN_LEGEND = {WIDE: 0.2, NARROW: 0.48}  # the narrow band lies on the wide one


def quantile_types(column: str, *about: str) -> dict[str, str]:
    """Return the columns of `quantile_rows` and their types, further texts among them."""
    names = NAMES | texts("series", *about, "population") | TOKENS
    return names | numbers("quantile") | BIN | numbers(column) | DIVERGED_AT


def quantile_rows(
    run: Run, population: str, quantiles: xr.DataArray, column: str, starts: np.ndarray
) -> Iterator[pd.DataFrame]:
    """Yield a row a bin of updates for each quantile, and one where a diverged run's median ends.

    In a bin the median over tokens is the median of its updates, a lower quantile the lowest and an
    upper one the highest: between them the tokens lie at every update of the bin.

    Parameters
    ----------
    run : Run
    population : str
    quantiles : DataArray
        Over ``update`` and ``quantile``, of the population's tokens.
    column : str
        What the values are called.
    starts : ndarray of int
        The first updates of the bins.
    """
    about = {"population": population, "tokens": populations(run)[population]}
    for quantile in quantiles["quantile"].values:
        is_median = quantile == MEDIAN
        kept = MIDDLE if is_median else LOWEST if quantile < MEDIAN else HIGHEST
        values = quantiles.sel(quantile=quantile)
        rows = curve(run, starts, MIDDLE, values, ends=is_median, quantile=quantile, **about)
        yield rows.rename(columns={kept: column})


def draw_bands(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    """Draw each population's median and bands.

    Of tokens that were never sampled the median alone is drawn: three pairs of bands are too many.

    Parameters
    ----------
    axes : Axes
    rows : DataFrame
        As `quantile_rows` gives them, of one run, as high as they are drawn.
    column : str
    """
    for population, values in rows.groupby("population", sort=False):
        stroke = style.POPULATIONS[population]
        values = values.assign(middle=middles(values))
        heights = values.pivot(index="middle", columns="quantile", values=column)
        alone = len(heights) == 1
        for (low, high), alpha in OPACITY.items() if population in style.ALWAYS_SHOWN else ():
            band = {"color": stroke.color, "alpha": alpha, "linewidth": 3 if alone else 0}
            axes.fill_between(heights.index, heights[low], heights[high], **band)
        dot = "." if alone else ""
        axes.plot(heights.index, heights[MEDIAN], **stroke.line(), linewidth=0.9, marker=dot)


def band_entries(rows: pd.DataFrame) -> list[tuple[object, str]]:
    """Return the legend's entries for the populations in `rows`, and for the bands."""
    entries: list[tuple[object, str]] = []
    lines = rows[rows["series"] == EACH]
    for population, values in lines.groupby("population", sort=False):
        stroke = style.POPULATIONS[population]
        name = f"{population} tokens (n = {style.number_of(values['tokens'])})"
        entries.append((Line2D([], [], **stroke.line()), f"{name}: median"))
    together = longest_bin(rows)
    each = f", at each of a bin's {together} updates" if together > 1 else ""
    for (low, high), alpha in OPACITY_IN_LEGEND.items():
        band = Patch(color=style.NEUTRAL, alpha=alpha, linewidth=0)
        entries.append((band, f"{low:.0%} to {high:.0%} of the tokens{each}"))
    return entries
