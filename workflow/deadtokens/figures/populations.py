"""Quantiles over tokens as a line with two bands, one population in one colour."""

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import style
from deadtokens.figures.lines import mark_divergences
from deadtokens.figures.logzero import LogScaleWithZero
from deadtokens.figures.runs import EACH, Run, described, drawn, end_of, populations

MEDIAN = 0.5
WIDE, NARROW = (0.05, 0.95), (0.25, 0.75)
OPACITY = {WIDE: 0.2, NARROW: 0.35}
OPACITY_IN_LEGEND = {WIDE: 0.2, NARROW: 0.48}  # the narrow band lies on the wide one


def quantile_rows(
    run: Run, population: str, quantiles: xr.DataArray, column: str, every: int
) -> pd.DataFrame:
    """Return one row a quantile and update drawn, and one where a diverged run's median ends.

    Parameters
    ----------
    run : Run
    population : str
    quantiles : DataArray
        Over ``update`` and ``quantile``, of the population's tokens.
    column : str
        What the values are called.
    every : int
        Every so many-th update is drawn.
    """
    quantiles = quantiles.isel(update=drawn(quantiles["update"].values, every))
    quantiles = quantiles.transpose("quantile", "update").reset_coords(drop=True)
    lines = quantiles.to_dataframe(column).reset_index().assign(series=EACH)
    end = end_of(lines[lines["quantile"] == MEDIAN], run).assign(quantile=MEDIAN)
    tokens = populations(run)[population]
    rows = pd.concat([lines, end]).assign(population=population, tokens=tokens)
    return described(rows, run)


def draw_bands(axes: Axes, rows: pd.DataFrame, column: str, scale: LogScaleWithZero) -> None:
    """Draw each population's median and bands, and crosses where those of a diverged run end.

    Parameters
    ----------
    axes : Axes
    rows : DataFrame
        As `quantile_rows` gives them, of one run.
    column : str
    scale : LogScaleWithZero
    """
    lines = rows[rows["series"] == EACH]
    for population, values in lines.groupby("population", sort=False):
        stroke = style.POPULATIONS[population]
        heights = values.pivot(index="update", columns="quantile", values=column)
        heights = heights.apply(scale.place)
        alone = len(heights) == 1
        for (low, high), alpha in OPACITY.items():
            band = {"color": stroke.color, "alpha": alpha, "linewidth": 3 if alone else 0}
            axes.fill_between(heights.index, heights[low], heights[high], **band)
        dot = "." if alone else ""
        axes.plot(heights.index, heights[MEDIAN], **stroke.line(), linewidth=0.9, marker=dot)
    placed = rows.assign(**{column: scale.place(rows[column])})
    mark_divergences(axes, placed, column, "population", style.POPULATIONS)


def band_entries(rows: pd.DataFrame) -> list[tuple[object, str]]:
    """Return the legend's entries for the populations in `rows`, and for the bands."""
    entries: list[tuple[object, str]] = []
    lines = rows[rows["series"] == EACH]
    for population, values in lines.groupby("population", sort=False):
        stroke = style.POPULATIONS[population]
        name = f"{population} tokens (n = {style.number_of(values['tokens'])})"
        entries.append((Line2D([], [], **stroke.line()), f"{name}: median"))
    for (low, high), alpha in OPACITY_IN_LEGEND.items():
        band = Patch(color=style.NEUTRAL, alpha=alpha, linewidth=0)
        entries.append((band, f"{low:.0%} to {high:.0%} of the tokens"))
    return entries
