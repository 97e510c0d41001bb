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

from collections.abc import Iterator, Sequence

import pandas as pd

from deadtokens.figures import stacks, style
from deadtokens.figures.bins import bin_starts
from deadtokens.figures.columns import DIVERGED_AT, NAMES, TOKENS, numbers, texts
from deadtokens.figures.runs import Run, described, populations

GRID = "bfloat16"
MEANING = {
    "early": "early: L2 above √D ulp",
    "midlife": "midlife: some component above 1 ulp",
    "late": "late: no component above 1 ulp",
    "frozen": "frozen: no bit of the bfloat16 changed",
}
BIN = ("first", "last")
TYPES = (
    NAMES
    | texts("population")
    | TOKENS
    | texts("phase")
    | dict.fromkeys(BIN, "Int64")
    | numbers("fraction")
    | DIVERGED_AT
)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    for run in runs:
        for population, tokens in populations(run).items():
            fraction = run.data["phase_fraction"].sel(population=population, grid=GRID)
            phases = fraction.transpose("update", "phase").to_pandas()[list(MEANING)]
            rows = stacks.mean_fractions([phases], bin_starts(len(phases)), "phase")
            rows = rows.rename(columns=dict(zip(stacks.BIN, BIN, strict=True)))
            about = {"population": population, "tokens": tokens}
            yield described(rows.assign(**about, diverged_at=stacks.divergence_of([run])), run)


def _panels(table: pd.DataFrame) -> stacks.Panels:
    of_kinds = [
        (population, rows[rows["population"] == population])
        for _, rows in table.groupby("run", sort=False)
        for population in style.populations_in(table)
    ]
    return [(_title(rows, population), rows) for population, rows in of_kinds]


def _title(rows: pd.DataFrame, population: str) -> list[str]:
    if rows.empty:
        return [f"no {population} tokens recorded"]
    number = style.number_of(rows["tokens"])
    name = f"{rows['label'].iloc[0]}: {population} (n = {number})"
    return [", ".join(filter(None, [name, stacks.divergence(rows)]))]


FIGURE = stacks.StackFigure(
    part="phase",
    bin=BIN,
    parts={name: (style.PHASES[name], words) for name, words in MEANING.items()},
    types=TYPES,
    rows=_rows,
    panels=_panels,
    columns=lambda table: len(style.populations_in(table)),
    height=1.4,
    ylabel="fraction of tokens",
)
RECIPE = FIGURE.recipe(
    "phases",
    "Phases of tokens",
    "freezing.nc",
    ["phase_fraction", "population", "phase", "grid", "dead"],
)
