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

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import command, stacks, style
from deadtokens.figures.bins import bin_starts
from deadtokens.figures.columns import NAMES, typed
from deadtokens.figures.runs import Run, described, experiment, open_runs, populations

GRID = "bfloat16"
MEANING = {
    "early": "early: L2 above √D ulp",
    "midlife": "midlife: some component above 1 ulp",
    "late": "late: no component above 1 ulp",
    "frozen": "frozen: no bit of the bfloat16 changed",
}
BIN = {"first": "first_update", "last": "last_update"}
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
    phases = fraction.transpose("update", "phase").to_pandas()[list(MEANING)]
    rows = stacks.mean_fractions([phases], bin_starts(len(phases)), "phase").assign(
        population=population,
        tokens=populations(run)[population],
        diverged_at=stacks.divergence_of([run]),
    )
    return described(rows.rename(columns={name: column for column, name in BIN.items()}), run)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    kinds = style.populations_in(table)
    binned = table.rename(columns=BIN)
    parts = {name: (style.PHASES[name], words) for name, words in MEANING.items()}
    panels = [
        (_title(rows, population), rows)
        for _, of_run in binned.groupby("run", sort=False)
        for population in kinds
        for rows in [of_run[of_run["population"] == population]]
    ]
    ylabel = "fraction of tokens"
    return stacks.draw_areas(panels, "phase", parts, len(kinds), height=1.4, ylabel=ylabel)


def _title(rows: pd.DataFrame, population: str) -> list[str]:
    if rows.empty:
        return [f"no {population} tokens"]
    number = style.number_of(rows["tokens"])
    name = f"{rows['label'].iloc[0]}: {population} (n = {number})"
    return [", ".join(filter(None, [name, stacks.divergence(rows)]))]


RECIPE = command.Recipe(
    name="phases",
    title="Phases of tokens",
    inputs="freezing.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, NEEDED),
    table=table,
    draw=draw,
)
