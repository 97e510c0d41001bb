"""The shares of tokens in the phases early, midlife, late and frozen.

Apart are dead tokens, live ones (which stood in a batch of the run) and, where there are any, those
that occur in the text but stood in no batch. The axis of updates is logarithmic. How far an update
moved a token is counted in steps of bfloat16's grid, in every regime, a float32 weight standing
where rounding to nearest (ties to even), as a cast does it, puts it on that grid: early, the L2
norm over the D components is above √D steps; midlife, some component moved by more than one step;
late, none by more than one; frozen, no bit of the bfloat16 changed. Each bar is the mean over the
updates between its edges. A token of a float32 run can be frozen here and still move between two
numbers of bfloat16: this figure compares regimes, the figure ``frozen`` counts recorded bits. A
component close to zero crosses many steps of the fine grid there with a small displacement, so that
tokens can look early at late updates.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from deadtokens.figures import command, style
from deadtokens.figures.axes import label_log_updates
from deadtokens.figures.bins import averaged, bin_starts
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.runs import Run, described, experiment, open_runs, populations

GRID = "bfloat16"
MEANING = {
    "early": "early: L2 above √D ulp",
    "midlife": "midlife: some component above 1 ulp",
    "late": "late: no component above 1 ulp",
    "frozen": "frozen: no bit of the bfloat16 changed",
}
NEEDED = ("phase_fraction", "population", "phase", "grid", "dead")
TYPES = {
    **NAMES,
    "population": "str",
    "tokens": "Int64",
    "phase": "str",
    "first": "Int64",
    "last": "Int64",
    "fraction": "float64",
    "diverged_at": "Int64",
}


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's freezing each: ``phase_fraction`` over ``update``, ``population``, ``phase`` and
        ``grid``, and ``dead`` over ``token``.

    Returns
    -------
    DataFrame
        One row a bin of updates, population and phase: ``group``, ``regime``, ``label``, ``run``,
        ``population``, ``tokens``, ``phase``, the bin's ``first`` and ``last`` update, the
        ``fraction`` averaged over them, and ``diverged_at`` for a run that diverged. A run without
        updates has one row without a phase.
    """
    rows = [_shares(run, kind) for run in experiment(datasets) for kind in populations(run)]
    return typed(pd.concat(rows, ignore_index=True), TYPES)


def _shares(run: Run, population: str) -> pd.DataFrame:
    fraction = run.data["phase_fraction"].sel(population=population, grid=GRID)
    rows = _binned(fraction) if run.data.sizes["update"] else pd.DataFrame({"phase": [""]})
    ended = int(run.data.attrs["diverged_at"]) if run.diverged else pd.NA
    rows = rows.assign(population=population, tokens=populations(run)[population])
    return described(rows.assign(diverged_at=ended), run)


def _binned(fraction: xr.DataArray) -> pd.DataFrame:
    updates = fraction["update"].values
    starts = bin_starts(len(updates))
    means = averaged(fraction.transpose("update", "phase").values, updates, starts)
    bins = pd.DataFrame({"first": starts, "last": np.append(starts[1:] - 1, updates[-1])})
    return pd.concat(
        bins.assign(phase=phase, fraction=means[:, place]) for place, phase in enumerate(MEANING)
    )


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    runs = list(dict.fromkeys(table["run"]))
    kinds = style.populations_in(table)
    figure = style.blank(height=0.3 + 1.45 * len(runs))
    panels = figure.subplots(len(runs), len(kinds), sharex=True, sharey=True, squeeze=False)
    titles = {}
    for row, run in zip(panels, runs, strict=True):
        for axes, population in zip(row, kinds, strict=True):
            rows = table[(table["run"] == run) & (table["population"] == population)]
            _draw_panel(axes, rows)
            titles[axes] = style.as_drawn(_title(rows, population), 104 // len(kinds))
            label_log_updates(axes, table, filled=True)
            axes.set_xlabel(axes.get_xlabel() if run == runs[-1] else "")
        row[0].set_ylabel("fraction of tokens")
    style.set_titles(figure, titles)
    colors = style.PHASES
    style.legend_below(figure, [(Patch(color=colors[name]), MEANING[name]) for name in MEANING])
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_ylim(0, 1)
    if rows.empty or (rows["phase"] == "").any():
        return
    shares = rows.pivot(index="first", columns="phase", values="fraction")[list(MEANING)]
    edges = np.append(shares.index.to_numpy(), rows["last"].max() + 1)
    heights = np.vstack([shares, shares[-1:]]).T
    colors = [style.PHASES[name] for name in MEANING]
    axes.stackplot(edges, heights, colors=colors, step="post", linewidth=0)


def _title(rows: pd.DataFrame, population: str) -> str:
    if rows.empty:
        return f"no {population} tokens"
    title = f"{rows['label'].iloc[0]}: {population} (n = {style.number_of(rows['tokens'])})"
    ended = rows["diverged_at"].dropna()
    if len(ended):
        title += f", diverged at update {ended.iloc[0]:,}"
    return title


RECIPE = command.Recipe(
    name="phases",
    title="Phases of tokens",
    inputs="freezing.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
