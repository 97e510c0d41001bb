"""How long the rows of a matrix are: those known to be unused, and the suspects, among all.

Rows are counted by their L2 norm, on a logarithmic axis, so that a few are seen beside many. Each
row is of one kind, the first that holds: *reference*, one of those whose mean the indicators
compare all rows with (every second one that is known to be unused; where none is known, those whose
rows share their bits); *known unused*, the other half of the known ones; *suspect*, a row that
``deadtokens examine`` gives a reason to suspect; *other*. Each kind stands in a panel with the
other rows. The mark at the top is its median, and the title says what percentage of the other rows
is shorter than that: near 0 % the norm tells these rows, near 50 % it says nothing, and near 100 %
it points the wrong way. It misleads in tied models, where a row without an input is still scored as
an output at every position, and pushed away from what the model predicts.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deadtokens.figures import command, matrices, style
from deadtokens.figures.axes import label_powers
from deadtokens.figures.columns import numbers, texts, typed
from deadtokens.figures.matrices import KNOWN, OTHER, POPULATIONS, REFERENCE, SUSPECT

BINS = 100
LOWEST = 0.7  # of the axis of counts, so that 1 is seen
HEIGHT_OF_MEDIANS = 1.0  # of the panel
MEDIAN = {"marker": "v", "markersize": 5}
OF_KNOWN = "reference: every second known unused row"
OF_ALIKE = "reference: rows that share their bits"
OF_OTHERS = {"color": POPULATIONS[OTHER].color, "fill": True, "linewidth": 0}
TYPES = (
    matrices.OF_A_MATRIX
    | texts("population")
    | dict.fromkeys(("tokens", "without_norm"), "Int64")
    | numbers("median", "others_below_median", "lower", "upper")
    | {"count": "Int64"}
)


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of one Dataset
        As `deadtokens.matrices.examine` makes it.

    Returns
    -------
    DataFrame
        One row a kind of tokens and bin of norms, from ``lower`` to ``upper``: ``count``. Of the
        kind ``tokens``, how many of these have no finite norm, the ``median`` of the norm, and the
        fraction of the other rows that are shorter than that.
    """
    data, about = matrices.about(datasets)
    norm, kind = data["norm"].values.astype(np.float64), kinds(data)
    edges = matrices.binned(norm, BINS)
    parts = [_of_kind(norm[kind == name], norm[kind == OTHER], edges, name) for name in POPULATIONS]
    return typed(pd.concat(parts, ignore_index=True).assign(**about), TYPES)


def kinds(data: xr.Dataset) -> np.ndarray:
    """Return of which kind each token is."""
    flags = [data["reference"].values, data["known"].values, data["why"].values != ""]
    return np.select(flags, [REFERENCE, KNOWN, SUSPECT], OTHER)


def _of_kind(norm: np.ndarray, others: np.ndarray, edges: np.ndarray, name: str) -> pd.DataFrame:
    finite, compared = norm[np.isfinite(norm)], others[np.isfinite(others)]
    median = np.median(finite) if len(finite) else np.nan
    has_both = len(finite) and len(compared)
    return pd.DataFrame(
        {
            "population": name,
            "tokens": len(norm),
            "without_norm": len(norm) - len(finite),
            "median": median,
            "others_below_median": (compared < median).mean() if has_both else np.nan,
            "lower": edges[:-1],
            "upper": edges[1:],
            "count": np.histogram(finite, edges)[0],
        }
    )


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    by_kind = dict(iter(table.groupby("population", sort=False)))
    others = by_kind.pop(OTHER)
    shown = [rows for rows in by_kind.values() if rows["tokens"].iloc[0]] or [others]
    figure = style.blank(height=0.4 + 1.4 * len(shown))
    panels = figure.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, rows in zip(panels, shown, strict=True):
        _draw_bins(axes, others, **OF_OTHERS)
        if rows is not others:
            _draw_kind(axes, rows)
        label_powers(axes, "y", "rows")
        axes.set_ylim(bottom=LOWEST)
    panels[-1].set_xlabel("L2 norm of the row [weight]")
    titles = {axes: _title(rows.iloc[0]) for axes, rows in zip(panels, shown, strict=True)}
    style.set_titles(figure, titles)
    matrices.legend_below(figure, table, _entries(others.iloc[0], shown))
    return figure


def _draw_kind(axes: Axes, rows: pd.DataFrame) -> None:
    color = POPULATIONS[rows["population"].iloc[0]].color
    _draw_bins(axes, rows, color=color, linewidth=1.2)
    place = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    axes.plot(rows["median"].iloc[0], HEIGHT_OF_MEDIANS, **MEDIAN | {"color": color}, **place)


def _draw_bins(axes: Axes, rows: pd.DataFrame, **look: object) -> None:
    edges = [*rows["lower"], rows["upper"].iloc[-1]]
    axes.stairs(rows["count"].astype("float64"), edges, baseline=LOWEST / 2, **look)


def _title(row: pd.Series) -> str:
    said = _counted(row["population"], row)
    if row["population"] == OTHER or np.isnan(row["median"]):
        return said
    said += f": median {row['median']:.3g}"
    if np.isnan(row["others_below_median"]):
        return said
    return f"{said}, {100 * row['others_below_median']:.1f} % of the other rows are shorter"


def _counted(name: str, row: pd.Series) -> str:
    without = f", {row['without_norm']:,} without a norm" if row["without_norm"] else ""
    return f"{name} (n = {row['tokens']:,}{without})"


def _entries(others: pd.Series, shown: Sequence[pd.DataFrame]) -> list[tuple[object, str]]:
    names = [name for rows in shown if (name := rows["population"].iloc[0]) != OTHER]
    words = {REFERENCE: OF_KNOWN if others["known_tokens"] else OF_ALIKE}
    lines = [
        (Line2D([], [], color=POPULATIONS[name].color), words.get(name, name)) for name in names
    ]
    median = (Line2D([], [], linestyle="", color=style.NEUTRAL, **MEDIAN), "their median")
    entries = [(Patch(**OF_OTHERS), _counted("all other rows", others)), *lines]
    return [*entries, median] if names else entries


RECIPE = command.Recipe(
    name="matrix_norms",
    title="The norms of the rows",
    inputs=matrices.FILE,
    open=matrices.opener("norm", "known", "reference", "why"),
    table=table,
    draw=draw,
)
