"""How parts of a motion are drawn: bars over ranges of updates, forward and backward apart.

A part's bar is its projection on the motion, relative to the sum of the sizes of all parts: what
pushes forward stands above zero, what pulls back below, and together they are one high. Shares of
the displacement itself would not do: where rounding takes back most of a step, they are tens.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import style
from deadtokens.figures.axes import grid
from deadtokens.figures.columns import typed
from deadtokens.figures.runs import Run, experiment

PER_DECADE = 2  # ranges of updates
POPULATION = "dead"
TYPES = {
    "group": "str",
    "regime": "str",
    "runs": "Int64",
    "tokens": "Int64",
    "first_update": "Int64",
    "last_update": "Int64",
    "part": "str",
    "share": "float64",
    "bar": "float64",
    "diverged_at": "Int64",
}
STRIP = (1.08, 1.32)  # above the bars, which end at 1
GAP = 0.06  # between two bars, of their width
Parts = Mapping[str, tuple[str, str]]  # colour and words of each, by its name in the file


def edges(last: int) -> list[int]:
    """Return the first updates of the ranges, and one beyond the last update.

    Ranges grow by half a decade: 1, 3, 10, 32, 100, ...
    """
    count = int(np.ceil(PER_DECADE * np.log10(max(last, 1)))) + 1
    firsts = {round(10 ** (power / PER_DECADE)) for power in range(count)}
    return [*sorted(first for first in firsts if first <= last), last + 1]


def table(datasets: Sequence[xr.Dataset], share: str, parts: Parts, of_all: bool) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's attribution each.
    share : str
        The variable with the shares of the centroid's displacement; its last axis has the parts.
    parts : mapping of str to (str, str)
        Each part's colour and words, in the order in which they are drawn.
    of_all : bool
        Shares are relative to the displacement; else to the sum of the parts.

    Returns
    -------
    DataFrame
        One row a group of runs, range of updates and part: ``share`` (NaN where nothing moved) and
        ``bar``, as drawn. Runs that differ only in their seed are summed up. A group whose runs
        have no update or no dead tokens has one row without part.
    """
    runs = experiment(datasets)
    groups = dict.fromkeys(run.group for run in runs)
    rows = [
        _group_rows([run for run in runs if run.group == group], share, parts, of_all)
        for group in groups
    ]
    return typed(pd.concat(rows, ignore_index=True), TYPES)


def _group_rows(runs: Sequence[Run], share: str, parts: Parts, of_all: bool) -> pd.DataFrame:
    tokens = [int(run.data["tokens"].sel(population=POPULATION)) for run in runs]
    ends = [int(run.data.attrs["diverged_at"]) for run in runs if run.diverged]
    group = {
        "group": runs[0].group,
        "regime": runs[0].regime,
        "runs": len(runs),
        "tokens": max(tokens),
        "diverged_at": min(ends) if ends else pd.NA,
    }
    last = max(run.data.sizes["update"] for run in runs)
    if not last or not max(tokens):
        return pd.DataFrame([group | {"part": ""}])
    ranges = edges(last)
    along = sum(_projections(run, share, list(parts), ranges) for run in runs)
    moved, along = along[:, 0], along[:, 1:]
    whole = moved if of_all else along.sum(axis=1)
    sizes = np.abs(along).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares, bars = along / whole[:, None], along / sizes[:, None]
    return pd.DataFrame(
        [
            group
            | {"first_update": first, "last_update": beyond - 1, "part": part}
            | {"share": shares[place, index], "bar": bars[place, index]}
            for place, (first, beyond) in enumerate(pairwise(ranges))
            for index, (_, part) in enumerate(parts.values())
        ]
    )


def _projections(run: Run, share: str, parts: Sequence[str], ranges: Sequence[int]) -> np.ndarray:
    """Return sums over each range of <d, d> and of <part, d> for each part; d is a displacement."""
    of = run.data.sel(population=POPULATION)
    squared = of["centroid_displacement_norm"].values ** 2
    each = of[share].sel({of[share].dims[-1]: parts}).values
    values = np.column_stack([squared, each * squared[:, None]])
    values[~np.isfinite(values)] = 0.0  # at rest, or the last state of a run that diverged
    updates = of["update"].values
    return np.stack(
        [
            values[(updates >= first) & (updates < beyond)].sum(axis=0)
            for first, beyond in pairwise(ranges)
        ]
    )


def draw(table: pd.DataFrame, parts: Parts, ylabel: str, remains: str) -> Figure:
    """Draw one panel a group of runs from the table.

    Parameters
    ----------
    table : DataFrame
    parts : mapping of str to (str, str)
        As for `table`.
    ylabel : str
    remains : str
        What the line across a bar shows.
    """
    colors = {part: color for color, part in parts.values()}
    groups = list(dict.fromkeys(table["group"]))
    ends = f"{table['last_update'].max():,}" if table["last_update"].notna().any() else "none"
    columns = min(len(groups), 2)
    drawing = grid(len(groups), columns, height=2.3, margin=0.4)
    titles = {}
    for axes, group in zip(drawing.panels, groups, strict=True):
        rows = table[table["group"] == group]
        titles[axes] = style.as_drawn(_title(rows), 84 // columns)
        _draw_panel(axes, rows, colors)
    style.set_titles(drawing.figure, titles)
    _set_limits(drawing.panels[0], table)
    for axes in drawing.lowest:
        axes.set_xlabel(f"range of updates; the last ends with {ends}")
    for axes in drawing.left:
        axes.set_ylabel(ylabel)
    style.legend_below(drawing.figure, _legend(colors, remains))
    return drawing.figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, colors: Mapping[str, str]) -> None:
    axes.axhline(0, color="black", linewidth=0.6, zorder=3)
    for first, parts in rows.dropna(subset="first_update").groupby("first_update"):
        box = {"x": _place(first) + 0.5, "width": 1 - GAP}
        if parts["bar"].isna().any():
            _write(axes, box["x"], 0.5, "at rest", "black")
            continue
        _draw_bar(axes, parts, colors, box)
        _name_leader(axes, parts, colors, box)


def _place(first: int) -> int:
    """Return the number of a range from its first update: all are drawn equally wide."""
    return round(PER_DECADE * np.log10(first))


def _draw_bar(
    axes: Axes, parts: pd.DataFrame, colors: Mapping[str, str], box: dict[str, float]
) -> None:
    ends = {1: 0.0, -1: 0.0}
    for part, bar in zip(parts["part"], parts["bar"], strict=True):
        sign = 1 if bar >= 0 else -1
        axes.bar(**box, height=bar, bottom=ends[sign], color=colors[part], linewidth=0)
        ends[sign] += bar
    net, half = parts["bar"].sum(), box["width"] / 2
    line = {"color": "black", "linewidth": 1.6, "solid_capstyle": "butt", "zorder": 4}
    axes.plot([box["x"] - half, box["x"] + half], [net, net], **line)


def _name_leader(
    axes: Axes, parts: pd.DataFrame, colors: Mapping[str, str], box: dict[str, float]
) -> None:
    """Fill the strip's cell with the colour of the part that pushes most, and its share."""
    leader = parts.loc[parts["bar"].idxmax()]
    low, high = STRIP
    color = colors[leader["part"]]
    axes.bar(**box, height=high - low, bottom=low, color=color, linewidth=0, clip_on=False)
    _write(axes, box["x"], (low + high) / 2, _amount(leader["share"]), _ink(color))


def _write(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    axes.text(x, y, text, ha="center", va="center", fontsize=6, color=color, zorder=5)


def _amount(share: float) -> str:
    """Write a share: in per cent as long as that is short, else as a multiple."""
    if abs(share) < 2:
        return f"{share:.0%}"
    return f"× {share:.1f}" if abs(share) < 10 else f"× {share:,.0f}"


def _ink(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "white"


def _title(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    title = first["group"]
    if first["runs"] > 1:
        title += f" ({first['runs']} runs)"
    if first["tokens"] == 0:
        title += ": no dead tokens"
    elif pd.notna(first["diverged_at"]):
        title += f": diverged at update {first['diverged_at']:,}"
    return title


def _set_limits(axes: Axes, table: pd.DataFrame) -> None:
    beyond = _place(table["first_update"].max()) + 1 if table["bar"].notna().any() else 1
    axes.set_xlim(-GAP, beyond + GAP)
    lowest = -table.loc[table["bar"] < 0].groupby(["group", "first_update"])["bar"].sum().abs()
    axes.set_ylim(min(-0.05, 1.1 * lowest.min(skipna=True) if len(lowest) else -0.05), STRIP[1])
    axes.set_xticks(range(0, beyond + 1, PER_DECADE), _decades(beyond // PER_DECADE + 1))
    axes.set_xticks(range(beyond + 1), minor=True)
    axes.set_yticks([tick for tick in (-0.5, 0, 0.5, 1) if tick >= axes.get_ylim()[0]])


def _decades(count: int) -> list[str]:
    return [f"{10**power:,}" for power in range(count)]


def _legend(colors: Mapping[str, str], remains: str) -> list[tuple[object, str]]:
    line = Line2D([], [], color="black", linewidth=1.6)
    entries = [(Patch(color=color, linewidth=0), part) for part, color in colors.items()]
    cell = Patch(facecolor="white", edgecolor=style.NEUTRAL, linewidth=0.6)
    return [*entries, (line, remains), (cell, "strip: leading part, its share")]
