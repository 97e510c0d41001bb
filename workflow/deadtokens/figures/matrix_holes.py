"""Black holes of a matrix: clusters of tokens whose rows are the same, or a unit apart.

Rows that training pushes to one point end on a few vectors, which differ by a unit in some
components (the distance of two neighbouring numbers of the format, or a step of a quantization):
tokens on one vector are the same to the model. Of each cluster, the one with most tokens on top,
the marks are how many tokens it has, how many of these stand on its most populated vector, and how
many different vectors there are. Named is the token with the smallest number. Most and least
tokens of clusters differ by decades, so that the axis is logarithmic. Where more rows are near each
other than can be compared, clusters are of rows with the same bits alone, and the figure says so.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from deadtokens.figures import command, matrices, style
from deadtokens.figures.columns import texts, typed

MOST = 25  # clusters drawn
LONGEST_NAME = 24  # characters
NOTHING = "no clusters of rows that are alike were found in this matrix"
MARKS = {
    "tokens": ("tokens", {"marker": "o", "color": "#222222", "markersize": 6}),
    "largest": (
        "tokens on the vector that has the most",
        {"marker": "D", "color": "#e0934d", "markersize": 4},
    ),
    "vectors": (
        "different vectors",
        {"marker": "|", "color": "#2879b5", "markersize": 9, "markeredgewidth": 1.8},
    ),
}
RULE = {"color": "#d9d9d9", "linewidth": 0.8, "zorder": 0}
TYPES = (
    matrices.OF_A_MATRIX
    | {"clusters": "Int64"}
    | texts("left_out")
    | {"hole": "Int64", "first": "Int64"}
    | texts("token_string")
    | dict.fromkeys((*MARKS, "components"), "Int64")
    | {"extent": "float64"}
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
        One row a cluster, the largest first, MOST at most, of so many ``clusters``; no rows if no
        two rows of the matrix are alike.
    """
    data, about = matrices.about(datasets)
    holes = data.isel(hole=slice(MOST))
    first = holes["hole_first"].values
    rows = {
        name: holes[f"hole_{name}"].values for name in ("first", *MARKS, "components", "extent")
    }
    about |= {"clusters": data.sizes["hole"], "left_out": data.attrs.get("left_out", "")}
    strings = data["token_string"].sel(token=first).values
    found = pd.DataFrame({"hole": holes["hole"].values, "token_string": strings, **rows})
    return typed(found.assign(**about), TYPES)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty(NOTHING)
    figure = style.blank(height=0.8 + 0.19 * max(2, len(table)))
    axes = figure.subplots()
    places = np.arange(len(table))
    axes.hlines(places, table[[*MARKS]].min(axis=1), table["tokens"], **RULE)
    for name, (_, mark) in MARKS.items():
        axes.plot(table[name].astype("int64"), places, linestyle="", **mark)
    axes.set_yticks(places, [name_of(row) for row in table.to_dict("records")])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(table) - 0.4, -0.6)
    _label_counts(axes, int(table["tokens"].max()))
    style.set_titles(figure, {axes: _title(table)})
    handles = [(Line2D([], [], linestyle="", **mark), words) for words, mark in MARKS.values()]
    matrices.legend_below(figure, table, handles)
    return figure


def name_of(row: dict) -> str:
    """Write which token is the first of a cluster: string, shortened, and number."""
    text = style.as_drawn(row["token_string"])
    if len(text) > LONGEST_NAME:
        text = f"{text[: LONGEST_NAME - 1]}…"
    return f"{text}  {row['first']:,}"


def _label_counts(axes: Axes, most: int) -> None:
    axes.set_xscale("log")
    axes.set_xlim(0.8, 1.6 * most)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 500 else (1,)))
    axes.xaxis.set_major_formatter(style.THOUSANDS)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("number")


def _title(table: pd.DataFrame) -> str:
    drawn, clusters = len(table), table["clusters"].iloc[0]
    some = f"the largest {drawn:,} of " if drawn < clusters else ""
    said = f"{some}{clusters:,} cluster{'s' if clusters > 1 else ''}"
    left_out = table["left_out"].iloc[0]
    if left_out:
        said += f"; left out: {left_out}"
    return style.as_drawn(said, style.CHARACTERS_PER_LINE["title"])


RECIPE = command.Recipe(
    name="matrix_holes",
    title="Black holes: tokens whose rows are alike",
    inputs=matrices.FILE,
    open=matrices.opener(
        "token_string", "hole", "hole_first", "hole_tokens", "hole_vectors", "hole_largest"
    ),
    table=table,
    draw=draw,
)
