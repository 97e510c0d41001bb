"""Logarithmic axes of figures over updates: for what changes fast early and slowly late."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from deadtokens.figures import style


def label_log_updates(axes: Axes, rows: pd.DataFrame, filled: bool = False) -> None:
    """Make the horizontal axis logarithmic over the updates of `rows`, from the first one on.

    Areas that are `filled` reach to its ends; lines and marks get margins.
    """
    columns = [name for name in ("update", "last_update", "last") if name in rows]
    last = max([2, *(rows[name].max() for name in columns if rows[name].notna().any())])
    axes.set_xscale("log")
    axes.set_xlim(*((1, last) if filled else (0.85, 1.2 * last)))
    axes.set_xlabel("update")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if last < 50 else (1,)))
    axes.xaxis.set_major_formatter(style.thousands())
    axes.xaxis.set_minor_formatter(NullFormatter())


def label_powers(axes: Axes, which: str, label: str) -> None:
    """Make the axis ('x' or 'y') logarithmic, its ticks powers of ten without markup."""
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    if not math.isfinite(axis.get_minpos()):  # nothing is drawn
        axes.set(**{f"{which}lim": (0.1, 1)})
    axes.set(**{f"{which}scale": "log", f"{which}label": label})
    axis.set_major_locator(LogLocator(numticks=8))
    axis.set_major_formatter(
        FuncFormatter(
            lambda value, _: style.power_of_ten(round(math.log10(value))) if value else ""
        )
    )
    axis.set_minor_formatter(NullFormatter())
