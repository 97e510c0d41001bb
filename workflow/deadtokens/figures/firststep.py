"""The first update of each component against the size of its gradient.

The updates of the components of W are drawn over the learning rate. Components are gathered in bins
The updates of the components of W are drawn over the learning rate. Components are gathered in bins
of a quarter of a decade; marks are medians, bars reach from 5 % to 95 % of the components of one
run. *Intended* is what the recorded moments ask for, computed in float64; *realised* is what W did,
rounding and decay included. At t = 1 AdamW's intended update is the grey curve: the gradient's sign
far above eps, a multiple of the gradient far below. Crosses are gradients of 1e-2 to 1e-12 put
through the update rule by itself, where it knows a gradient without those of other tokens. Titles
give the cosine of a row's first displacement to its gradient, mean over rows, beside sqrt(2/pi),
that of the sign of any normal vector to the vector: geometry, no finding. The figure says nothing
of later updates, whose moments remember.
"""

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from deadtokens.figures import style
from deadtokens.figures.axes import LogScaleWithZero, label_powers
from deadtokens.figures.columns import NAMES, numbers, texts
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, of_runs
from deadtokens.figures.runs import Run, described
from deadtokens.statistics.cosines import SIGN_COSINE

INTENDED, REALISED, EXAMPLE, CURVE = "intended", "realised", "example", "|g| / (|g| + eps)"
MARKERS = {INTENDED: "o", REALISED: "D"}
OF_EXAMPLES = {
    "color": "#c2410c",
    "marker": "x",
    "linestyle": "",
    "markersize": 5,
    "markeredgewidth": 1.0,
    "zorder": 5,
}
TITLE_WIDTH = 45  # characters
OF_CURVE = {"color": style.NEUTRAL, "linewidth": 0.9}
TYPES = (
    NAMES
    | texts("series", "population")
    | {"components": "Int64"}
    | numbers("gradient", "low", "update", "high", "cosine")
)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    for run in runs:
        examples = pd.DataFrame(
            {
                "gradient": run.data["example"].values,
                "update": run.data["example_multiplier"].values,
            }
        )
        parts = [examples.assign(series=EXAMPLE), _curve(run, examples["gradient"]), *_bins(run)]
        yield described(pd.concat(parts, ignore_index=True).fillna({"population": ""}), run)


def _bins(run: Run) -> Iterator[pd.DataFrame]:
    for population in run.data["population"].values:
        data = run.data.sel(population=population)
        cosine = float(data["gradient_cosine"])
        about = {"population": population, "components": data["first_count"], "cosine": cosine}
        for series in (INTENDED, REALISED):
            quantiles = data[f"first_{series}"].values
            rows = pd.DataFrame(quantiles, columns=["low", "update", "high"])
            rows = rows.assign(gradient=data["first_gradient"], series=series, **about)
            yield rows[np.isfinite(rows["gradient"])]


def _curve(run: Run, examples: pd.Series) -> pd.DataFrame:
    spec = json.loads(run.data.attrs["spec"])
    drawn = np.append(run.data["first_gradient"].values.ravel(), examples)
    gradient = np.geomspace(np.nanmin(drawn), np.nanmax(drawn), 200)
    update = gradient / (gradient + spec.get("eps", 1e-8))
    curve = pd.DataFrame({"gradient": gradient, "update": update, "series": CURVE})
    return curve if spec.get("optimizer", "adamw") == "adamw" else curve[:0]


def _scale(table: pd.DataFrame) -> LogScaleWithZero:
    return LogScaleWithZero.spanning(pd.concat([table["update"], table["low"]]))


def _panels(table: pd.DataFrame) -> list[Panel]:
    scale = _scale(table)
    values = ["update", "low", "high"]
    return [
        Panel(
            rows.assign(**rows[values].apply(scale.place)),
            f"{label}\n{_cosines(rows)}",
            "|first update| / learning rate",
            scale.apply,
        )
        for label, rows in of_runs(table, TITLE_WIDTH)
    ]


def _cosines(rows: pd.DataFrame) -> str:
    found = rows[rows["series"] == INTENDED].groupby("population", sort=False)["cosine"].first()
    each = [f"{population} {cosine:.2f}" for population, cosine in found.dropna().items()]
    text = f"cos(ΔW, g): {', '.join([*each, f'by sign alone {-SIGN_COSINE:.2f}'])}"
    return style.as_drawn(text, TITLE_WIDTH)


def _draw_lines(axes: Axes, rows: pd.DataFrame, strokes: Strokes) -> None:
    for series, look in ((CURVE, OF_CURVE | {"zorder": 1}), (EXAMPLE, OF_EXAMPLES)):
        line = rows[rows["series"] == series]
        axes.plot(line["gradient"], line["update"], **look)
    binned = rows[rows["series"].isin(MARKERS)]
    for (series, population), points in binned.groupby(["series", "population"], sort=False):
        shift = 1.12 ** (list(style.POPULATIONS).index(population) - 1)  # beside each other
        at, color = points["gradient"] * shift, strokes[population].color
        axes.vlines(at, points["low"], points["high"], color=color, linewidth=0.6, zorder=2)
        axes.plot(at, points["update"], **_point(series, color))


def _label_gradients(axes: Axes, _: pd.DataFrame) -> None:
    label_powers(axes, "x", "gradient of a component at the first update, |g|")


def _point(series: str, color: str) -> dict:
    open_face = {} if series == INTENDED else {"markerfacecolor": "white"}
    look = {"color": color, "marker": MARKERS[series], "linestyle": "", "markeredgewidth": 0.8}
    size = 4.0 if series == INTENDED else 2.6  # realised on intended, both to be seen
    return look | open_face | {"markersize": size, "zorder": 3 if series == INTENDED else 4}


def _entries(table: pd.DataFrame, strokes: Strokes) -> Entries:
    entries = [
        (Line2D([], [], **_point(series, strokes[population].color)), text)
        for population in table.loc[table["series"] == INTENDED, "population"].unique()
        for series, text in (
            (INTENDED, f"{population} tokens: intended (recorded moments)"),
            (REALISED, f"{population} tokens: realised, |W[1] - W[0]|"),
        )
    ]
    entries.append((Line2D([], [], **OF_CURVE), CURVE))
    entries.append((Line2D([], [], **OF_EXAMPLES), "single gradients through the update rule"))
    return entries + _scale(table).entries()


FIGURE = PanelFigure(
    column="update",
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    by="population",
    label_x=_label_gradients,
    entries=_entries,
    columns=lambda number: min(number, 2),
    height=2.3,
    margin=0.4,
)
RECIPE = FIGURE.recipe(
    "firststep",
    "The first update",
    "gradients.nc",
    [
        *("first_gradient", "first_intended", "first_realised", "example_multiplier", "spread"),
        "gradient_cosine",
    ],
)
