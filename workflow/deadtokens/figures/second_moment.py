"""Adam's second moment of each token against how often the token occurs.

The second moment is that of the token's row after the run's last update, corrected for bias and
averaged over components; the frequency is counted in the training text. Dead tokens, which never
occur, stand in the strip at the left; tokens that occur, but stood in no batch of the run, have a
colour of their own. The line is the least-squares straight line on linear axes, fitted through all
tokens, with its R²; on these logarithmic axes it bends. A token's gradients are large at its own
occurrences and small elsewhere, so their mean square grows with the frequency. A bfloat16 second
moment that can no longer fall, as with beta2 = 0.999, keeps the size of earlier gradients.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from deadtokens.figures import command, style
from deadtokens.figures.axes import STRIP_COLOR, grid, label_powers, power_of_ten
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.runs import Run, described, experiment, open_runs

TOKEN, LINE = "token", "straight line"
ZERO = 4.0  # dead tokens are drawn this factor left of the rarest live one
NEEDED = ("second_moment", "frequency", "frequency_slope", "frequency_r2", "dead")
TYPES = {
    **NAMES,
    "series": "str",
    "population": "str",
    "token": "Int64",
    "update": "int64",
    "frequency": "float64",
    "second_moment": "float64",
    "slope": "float64",
    "r2": "float64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's gradients each.

    Returns
    -------
    DataFrame
        One row a token: its ``frequency`` and its ``second_moment`` (v_hat, mean over components)
        after the last ``update``; and the points of the least-squares line over all tokens, with
        its ``slope`` and ``r2``. Tokens whose second moment is zero, and runs without an update,
        have no rows.
    """
    rows = [_rows(run) for run in experiment(datasets)]
    return typed(pd.concat(rows, ignore_index=True), TYPES)


def _rows(run: Run) -> pd.DataFrame:
    data = run.data
    last = data[["frequency_slope", "frequency_r2"]].isel(update=slice(-1, None))
    update = int(last["update"].max()) if last.sizes["update"] else 0
    classes = [name for name in ("dead", "never_sampled") if name in data]
    tokens = data[["frequency", "second_moment", *classes]].to_dataframe().reset_index()
    tokens["population"] = "live"
    for name in classes:
        tokens.loc[tokens[name].astype(bool), "population"] = name.replace("_", " ")
    tokens = tokens[tokens["second_moment"] > 0].assign(series=TOKEN)
    rows = [tokens.drop(columns=classes)]
    if len(tokens) and np.isfinite(last["frequency_slope"].values).all():
        slope, r2 = (float(last[name][0]) for name in ("frequency_slope", "frequency_r2"))
        rows.append(_line(data, slope, r2))
    return described(pd.concat(rows, ignore_index=True).assign(update=update), run)


def _line(data: xr.Dataset, slope: float, r2: float) -> pd.DataFrame:
    frequency, moment = data["frequency"].values, data["second_moment"].values
    start = moment.mean() - slope * frequency.mean()
    at = np.geomspace(frequency[frequency > 0].min(), frequency.max(), 100)
    line = pd.DataFrame({"frequency": at, "second_moment": start + slope * at})
    return line[line["second_moment"] > 0].assign(series=LINE, population="", slope=slope, r2=r2)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = list(dict.fromkeys(table["run"]))
    number = max(1, len(runs))
    drawing = grid(number, min(number, 2), height=2.3, margin=0.3)
    if not runs:
        drawing.panels[0].set_title("no updates")
    titles = {}
    for axes, run in zip(drawing.panels, runs, strict=False):
        rows = table[table["run"] == run]
        titles[axes] = style.as_drawn(_title(rows), 50)
        _draw_panel(axes, rows, table)
        if axes in drawing.lowest:
            axes.set_xlabel("unigram frequency in the training text")
    style.set_titles(drawing.figure, titles)
    for axes in drawing.left:
        axes.set_ylabel("second moment of a row\n(nat², mean over components)")
    style.legend_below(drawing.figure, _legend(table))
    return drawing.figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, table: pd.DataFrame) -> None:
    positive = table.loc[table["frequency"] > 0, "frequency"]
    rarest = positive.min()
    for population, tokens in rows[rows["series"] == TOKEN].groupby("population"):
        at = tokens["frequency"].mask(tokens["frequency"] == 0, rarest / ZERO)
        axes.plot(at, tokens["second_moment"], **_point(population))
    line = rows[rows["series"] == LINE]
    axes.plot(line["frequency"], line["second_moment"], **_stroke())
    label_powers(axes, "y", "")
    _label_frequencies(axes, positive, has_zero=bool((table["frequency"] == 0).any()))


def _title(rows: pd.DataFrame) -> str:
    r2 = rows["r2"].dropna()
    fit = f": R² {r2.iloc[0]:.3f} at update {rows['update'].iloc[0]:,}" if len(r2) else ""
    return rows["label"].iloc[0] + fit


def _label_frequencies(axes: Axes, positive: pd.Series, has_zero: bool) -> None:
    """Make the horizontal axis logarithmic, with a strip for frequency 0 at its left end."""
    label_powers(axes, "x", "")
    if not has_zero or positive.empty:
        return
    rarest, decades = positive.min(), np.log10([positive.min(), positive.max()])
    strip = (rarest / ZERO**2, rarest / ZERO**0.5)
    axes.axvspan(*strip, color=STRIP_COLOR, zorder=0)
    powers = range(int(np.ceil(decades[0] - 0.1)), int(np.floor(decades[1] + 0.3)) + 1)
    ticks = {rarest / ZERO: "0", **{10.0**power: power_of_ten(power) for power in powers}}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(left=strip[0])


def _point(population: str) -> dict:
    color = style.POPULATIONS[population].color
    look = {"color": color, "marker": ".", "linestyle": "", "markersize": 2.5}
    return look | {"markeredgewidth": 0, "alpha": 0.5, "rasterized": True}


def _stroke() -> dict:
    return {"color": "#c2410c", "linewidth": 1.1}


def _legend(table: pd.DataFrame) -> list[tuple[object, str]]:
    entries = []
    for population in style.POPULATIONS:
        rows = table[(table["series"] == TOKEN) & (table["population"] == population)]
        if len(rows):
            number = style.number_of(rows.groupby("run").size())
            sign = Line2D([], [], **_point(population) | {"markersize": 6, "alpha": 1})
            where = ", at frequency 0 (strip)" if population == "dead" else ""
            entries.append((sign, f"{population} tokens (n = {number}){where}"))
    entries.append((Line2D([], [], **_stroke()), "straight line through all tokens"))
    return entries


RECIPE = command.Recipe(
    name="second_moment",
    title="Second moment and token frequency",
    inputs="gradients.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
