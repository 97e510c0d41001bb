"""Adam's second moment of each token against how often the token occurs.

The second moment is that of the token's row after the run's last update, corrected for bias and
averaged over components; the frequency is counted in the training text. Dead tokens, which never
occur, stand in the strip at the left; tokens that occur, but stood in no batch of the run, have a
colour of their own. The line is the least-squares straight line on linear axes, fitted through all
tokens of one run, with its R²; on these logarithmic axes it bends. A token's gradients are large at
its own occurrences and small elsewhere, so their mean square grows with the frequency. A bfloat16
second moment that can no longer fall, as with beta2 = 0.999, keeps the size of earlier gradients.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from deadtokens.figures import style
from deadtokens.figures.axes import STRIP_COLOR, label_powers, power_of_ten
from deadtokens.figures.columns import NAMES, numbers, texts
from deadtokens.figures.panels import Entries, Panel, PanelFigure, Strokes, of_runs
from deadtokens.figures.runs import Run, described

TOKEN, LINE = "token", "straight line"
STROKE = {"color": "#c2410c", "linewidth": 1.1}
ZERO = 4.0  # dead tokens are drawn this factor left of the rarest live one
TYPES = (
    NAMES
    | texts("series", "population")
    | {"token": "Int64", "update": "int64"}
    | numbers("frequency", "second_moment", "slope", "r2")
)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    for run in runs:
        data = run.data
        last = data[["frequency_slope", "frequency_r2"]].isel(update=slice(-1, None))
        update = int(last["update"].max()) if last.sizes["update"] else 0
        rows = [_tokens(data)]
        if len(rows[0]) and np.isfinite(last["frequency_slope"].values).all():
            slope, r2 = (float(last[name][0]) for name in ("frequency_slope", "frequency_r2"))
            rows.append(_line(data, slope, r2))
        yield described(pd.concat(rows, ignore_index=True).assign(update=update), run)


def _tokens(data: xr.Dataset) -> pd.DataFrame:
    classes = [name for name in ("dead", "never_sampled") if name in data]
    tokens = data[["frequency", "second_moment", *classes]].to_dataframe().reset_index()
    tokens["population"] = "live"
    for name in classes:
        tokens.loc[tokens[name].astype(bool), "population"] = name.replace("_", " ")
    return tokens[tokens["second_moment"] > 0].assign(series=TOKEN).drop(columns=classes)


def _line(data: xr.Dataset, slope: float, r2: float) -> pd.DataFrame:
    frequency, moment = data["frequency"].values, data["second_moment"].values
    start = moment.mean() - slope * frequency.mean()
    at = np.geomspace(frequency[frequency > 0].min(), frequency.max(), 100)
    line = pd.DataFrame({"frequency": at, "second_moment": start + slope * at})
    return line[line["second_moment"] > 0].assign(series=LINE, population="", slope=slope, r2=r2)


def _panels(table: pd.DataFrame) -> list[Panel]:
    ylabel = "second moment of a row\n(nat², mean over components)"
    rarest = _positive(table).min()
    scale = partial(_scale, rarest=rarest if (table["frequency"] == 0).any() else None)
    return [
        Panel(
            rows.assign(frequency=rows["frequency"].replace(0, rarest / ZERO)),
            style.as_drawn(f"{rows['label'].iloc[0]}{_fit(rows)}", 50),
            ylabel,
            scale,
        )
        for _, rows in of_runs(table, 50)
    ]


def _positive(table: pd.DataFrame) -> pd.Series:
    return table.loc[table["frequency"] > 0, "frequency"]


def _fit(rows: pd.DataFrame) -> str:
    r2 = rows["r2"].dropna()
    return f": R² {r2.iloc[0]:.3f} at update {rows['update'].iloc[0]:,}" if len(r2) else ""


def _draw_lines(axes: Axes, rows: pd.DataFrame, _: Strokes) -> None:
    for population, tokens in rows[rows["series"] == TOKEN].groupby("population"):
        axes.plot(tokens["frequency"], tokens["second_moment"], **_point(population))
    line = rows[rows["series"] == LINE]
    axes.plot(line["frequency"], line["second_moment"], **STROKE)


def _scale(axes: Axes, rarest: float | None) -> None:
    """Make the vertical axis logarithmic; shade the strip for frequency 0, if there is any."""
    label_powers(axes, "y")
    if rarest is not None:
        axes.axvspan(*_strip(rarest), color=STRIP_COLOR, zorder=0)


def _strip(rarest: float) -> tuple[float, float]:
    return rarest / ZERO**2, rarest / ZERO**0.5


def _label_frequencies(axes: Axes, table: pd.DataFrame) -> None:
    """Make the horizontal axis logarithmic, with a strip for frequency 0 at its left end."""
    label_powers(axes, "x", "unigram frequency in the training text")
    positive = _positive(table)
    if positive.empty or not (table["frequency"] == 0).any():
        return
    rarest, decades = positive.min(), np.log10([positive.min(), positive.max()])
    powers = range(int(np.ceil(decades[0] - 0.1)), int(np.floor(decades[1] + 0.3)) + 1)
    ticks = {rarest / ZERO: "0", **{10.0**power: power_of_ten(power) for power in powers}}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(left=_strip(rarest)[0])


def _point(population: str) -> dict:
    color = style.POPULATIONS[population].color
    look = {"color": color, "marker": ".", "linestyle": "", "markersize": 2.5}
    return look | {"markeredgewidth": 0, "alpha": 0.5, "rasterized": True}


def _entries(table: pd.DataFrame, _: Strokes) -> Entries:
    entries = []
    for population in style.POPULATIONS:
        rows = table[(table["series"] == TOKEN) & (table["population"] == population)]
        if len(rows):
            number = style.number_of(rows.groupby("run").size())
            sign = Line2D([], [], **_point(population) | {"markersize": 6, "alpha": 1})
            where = ", at frequency 0 (strip)" if population == "dead" else ""
            entries.append((sign, f"{population} tokens (n = {number}){where}"))
    return [*entries, (Line2D([], [], **STROKE), "straight line through all tokens")]


FIGURE = PanelFigure(
    column="second_moment",
    types=TYPES,
    rows=_rows,
    panels=_panels,
    lines=_draw_lines,
    by="population",
    label_x=_label_frequencies,
    entries=_entries,
    columns=lambda number: min(number, 2),
    height=2.3,
    margin=0.3,
    nothing="no updates",
)
RECIPE = FIGURE.recipe(
    "second_moment",
    "Second moment and token frequency",
    "gradients.nc",
    ["second_moment", "frequency", "frequency_slope", "frequency_r2", "dead"],
)
