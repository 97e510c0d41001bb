"""Why the components of dead tokens stood still, as parts of all their components.

At each update (averaged over bins; the axis is logarithmic) the areas are fractions of *all*
components of dead tokens: grey on top moved, each colour below stood still, bit for bit, for one
cause. Blue: even exact first and second moments, replayed in float32 from the recorded gradients,
would give an update that rounding to nearest loses. Yellow: with the recorded moments the update,
computed exactly, would move the component; a rounding inside the update held it or, where results
are rounded stochastically, chance. The other colours: exact moments would move it, the recorded
ones do not, and the colour says which of them had to be exact. This is a counterfactual along the
recorded gradients, one update at a time. It does not say what a training with exact moments would
have become: the weights would have moved, and so would the gradients. Under stochastic rounding
blue does not mean that the update was bound to be lost. A dotted line marks where a run diverged.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator

from deadtokens.figures import command, style
from deadtokens.figures.axes import Grid, grid
from deadtokens.figures.columns import typed
from deadtokens.figures.runs import Run, described, experiment, open_runs

BINS = 80
COLUMNS = 3
PANEL_HEIGHT = 1.75  # inches
MOVED = "moved"
# What is drawn, from the bottom to the top: colour, and the words of the legend.
LAYERS = {
    "no gradient": ("#1a1a1a", "no gradient, neither now nor remembered"),
    "below half an ulp": ("#4a86b8", "below half an ulp, even with exact moments"),
    "another rounding": ("#f4d35e", "another rounding of the update, or chance"),
    "first moment": ("#7fc8a9", "first moment: only that one had to be exact"),
    "second moment": ("#a8234a", "second moment: only that one had to be exact"),
    "either": ("#f2a27a", "either moment: one exact one was enough"),
    "both together": ("#54276b", "both moments: both had to be exact"),
    MOVED: ("#ececec", "moved"),
}
TYPES = {
    "group": "str",
    "regime": "str",
    "runs": "int64",
    "tokens": "int64",
    "cause": "str",
    "first_update": "Int64",
    "last_update": "Int64",
    "fraction": "float64",
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's stillness each: ``still_fraction`` over ``update``, ``cause_fraction`` over
        ``update`` and ``cause``, ``token``.

    Returns
    -------
    DataFrame
        One row a group of runs, bin of updates and layer: ``group``, ``regime``, ``runs`` and dead
        ``tokens`` of the group, ``cause`` (or moved), ``first_update`` and ``last_update`` of the
        bin, ``fraction`` of all components of dead tokens, averaged over the bin's updates and then
        over the group's runs as far as all of them go, and ``diverged_at`` where one diverged.
        A group without a dead token or an update has one row without a bin.
    """
    runs = experiment(datasets)
    edges = bin_edges(max(run.data.sizes["update"] for run in runs))
    rows = pd.concat([_binned(run, edges) for run in runs], ignore_index=True)
    grouped = rows.groupby(["group", "regime"], sort=False)
    means = pd.concat([_mean(group) for _, group in grouped], ignore_index=True)
    return typed(means, TYPES)


def bin_edges(updates: int) -> np.ndarray:
    """Return the first updates of bins that are about equally long on a logarithmic axis.

    The last one is that of the bin which would follow.
    """
    return np.unique(np.geomspace(1, updates + 1, BINS + 1).round().astype(int))


def _binned(run: Run, edges: np.ndarray) -> pd.DataFrame:
    """Average a run's layers over bins; the bin in which the run ends is cut there."""
    layers = _layers(run.data)
    updates = layers.index.to_numpy()
    first = edges[np.searchsorted(edges, updates, side="right") - 1]
    means = layers.groupby(first).mean()
    means["last_update"] = pd.Series(updates, updates).groupby(first).max()
    means["first_update"] = means.index
    rows = means.melt(["first_update", "last_update"], var_name="cause", value_name="fraction")
    if rows.empty:
        rows = rows.reindex([0]).assign(cause=MOVED)
    diverged_at = int(run.data.attrs["diverged_at"]) if run.diverged else np.nan
    rows = rows.assign(tokens=run.data.sizes["token"], diverged_at=diverged_at)
    bins = ["first_update", "last_update", "diverged_at"]
    return described(rows.astype(dict.fromkeys(bins, "Int64") | {"fraction": float}), run)


def _layers(data: xr.Dataset) -> pd.DataFrame:
    """Return, per update, the parts of all components of dead tokens; none without dead tokens."""
    updates = data["update"].values[: data.sizes["update"] if data.sizes["token"] else 0]
    still = data["still_fraction"].values[: len(updates)]
    parts = np.nan_to_num(data["cause_fraction"].values[: len(updates)]) * still[:, None]
    layers = pd.DataFrame(parts, index=updates, columns=data["cause"].values)
    return layers.assign(**{MOVED: 1 - still})


def _mean(rows: pd.DataFrame) -> pd.DataFrame:
    """Average over the runs of one group, over the bins that all of them have."""
    runs = rows["run"].nunique()
    by = ["group", "regime", "cause", "first_update"]
    bins = rows.groupby(by, sort=False, dropna=False)
    means = bins.agg(
        fraction=("fraction", "mean"), last_update=("last_update", "min"), members=("run", "size")
    ).reset_index()
    means = means[means["members"] == runs].drop(columns="members")
    return means.assign(
        runs=runs, tokens=rows["tokens"].max(), diverged_at=rows["diverged_at"].min()
    )


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    groups = list(table.groupby("group", sort=False))
    drawing = grid(len(groups), min(COLUMNS, len(groups)), height=PANEL_HEIGHT, margin=0.5)
    _label_axes(drawing, table)
    titles = {}
    for axes, (_, rows) in zip(drawing.panels, groups, strict=True):
        titles[axes] = _title(rows)
        _draw_panel(axes, rows)
    style.set_titles(drawing.figure, titles)
    entries = [(Patch(color=color), words) for color, words in LAYERS.values()]
    style.legend_below(drawing.figure, entries)
    return drawing.figure


def _draw_panel(axes: Axes, rows: pd.DataFrame) -> None:
    bins = rows.dropna(subset="first_update").pivot(
        index="first_update", columns="cause", values="fraction"
    )
    if bins.empty:
        return
    last = rows.groupby("first_update")["last_update"].first()
    edges = [*bins.index, last.iloc[-1] + 1]
    foot = np.zeros(len(bins))
    for layer, (color, _) in LAYERS.items():
        top = foot + bins[layer].to_numpy()
        axes.stairs(top, edges, baseline=foot, fill=True, color=color, linewidth=0)
        foot = top
    if rows["diverged_at"].notna().any():
        _mark_divergence(axes, edges[-1], rows["diverged_at"].min())


def _mark_divergence(axes: Axes, end: int, at: int) -> None:
    """Draw a line where a run ended, and beside it, on the wider side, when it diverged."""
    axes.axvline(end, color="black", linestyle=":", linewidth=1)
    is_late = axes.transAxes.inverted().transform(axes.transData.transform((end, 0)))[0] > 0.5
    axes.annotate(
        f"diverged at\nupdate {at:,}",
        (end, 0.5),
        xytext=(-3 if is_late else 3, 0),
        textcoords="offset points",
        ha="right" if is_late else "left",
        va="center",
        fontsize=7,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )


def _title(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    runs = f" (mean of {first['runs']} runs)" if first["runs"] > 1 else ""
    name = style.as_drawn(f"{first['group']}{runs}", 30)
    if not first["tokens"]:
        return f"{name}\nno dead tokens"
    moved = rows[(rows["cause"] == MOVED) & rows["first_update"].notna()]
    if moved.empty:
        return f"{name}\nno update"
    length = (moved["last_update"] - moved["first_update"] + 1).astype(float)
    still = 1 - np.average(moved["fraction"], weights=length)
    return f"{name}\n{100 * still:.3g} % still, over all updates"


def _label_axes(drawing: Grid, table: pd.DataFrame) -> None:
    end = max(2, table["last_update"].max() + 1) if table["last_update"].notna().any() else 2
    for axes in drawing.panels:
        axes.set_xscale("log")
        axes.set_xlim(1, end)
        axes.set_ylim(0, 1)
        axes.xaxis.set_major_locator(LogLocator(10))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(style.THOUSANDS)
    for axes in drawing.lowest:
        axes.set_xlabel("update")
    for axes in drawing.left:
        axes.set_ylabel("fraction of dead\ntokens' components")


RECIPE = command.Recipe(
    name="causes",
    title="Why components of dead tokens stood still",
    inputs="stillness.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, ["still_fraction", "cause_fraction", "cause", "token"]),
    table=table,
    draw=draw,
)
