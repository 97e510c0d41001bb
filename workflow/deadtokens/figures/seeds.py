"""Outcomes of an experiment's runs as tables: every seed, and what the seeds say together.

A mean over seeds is there where each of them has a number: without those that have none, as runs
that never came to rest, it would be of others than it is said to be.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.comparison.intervals import FEWEST, t_interval
from deadtokens.comparison.shapes import ANY, Shape, Varied
from deadtokens.errors import UserError
from deadtokens.figures import style
from deadtokens.figures.columns import numbers, texts, typed
from deadtokens.figures.command import Recipe
from deadtokens.figures.inputs import only, open_dataset

SECONDARY = ("still", "thaws", "last_motion", "path_length", "loss")
FRACTIONS = ("frozen", "still")  # their axes show 0 and 1
RUN, MEAN = "run", "mean"
OF_RUNS = ("run", "seed", "regime", "group", "value", "reason")
NEEDED = ("outcome", "meaning", "unit", *OF_RUNS, "key", "setting", "number")
OUTCOME = texts("outcome", "meaning", "unit", "series")
VALUES = (
    texts("run")
    | {"seed": "Int64"}
    | numbers("value", "low", "high")
    | {"seeds": "Int64", "diverged": "boolean"}
    | texts("reason")
)
COLORS = ("#1f4e79", "#e08a4e")  # of the first and the last seed


def recipe(
    name: str,
    title: str,
    *,
    types: Mapping[str, str],
    table: Callable[[xr.Dataset], pd.DataFrame],
    draw: Callable[[pd.DataFrame], Figure],
    shape: Shape = ANY,
    needed: Sequence[str] = NEEDED,
) -> Recipe:
    """Return what draws a figure from the outcomes of an experiment.

    Parameters
    ----------
    name, title : str
    types : mapping of str to str
        The table's columns and their pandas types.
    table, draw : callable
    shape : Shape
        What the experiment must vary.
    needed : sequence of str
        Variables that the file must have.
    """
    return Recipe(
        name=name,
        title=title,
        inputs="outcomes.nc of an experiment",
        open=lambda paths: [_open(path, needed, shape) for path in paths],
        table=lambda datasets: typed(table(only(datasets)), types),
        draw=style.look()(draw),
    )


def _open(path: Path, needed: Sequence[str], shape: Shape) -> xr.Dataset:
    data = open_dataset(path, needed, ("primary",))
    if shape is not ANY and not shape.fits(varied_in(data)):
        raise UserError(f"{path}: this figure needs an experiment that varies {shape.needs}")
    return data


def varied_in(data: xr.Dataset) -> Varied:
    """Return what the runs of an experiment differ in."""
    settings, values = (data[name].transpose("run", "key").values for name in ("setting", "number"))
    return Varied(
        tuple(map(str, data["key"].values)),
        tuple(tuple(map(str, row)) for row in settings),
        tuple(tuple(map(float, row)) for row in values),
    )


def shown(data: xr.Dataset) -> list[str]:
    """Return the outcomes that figures show: the primary one, and those secondary ones it has."""
    return [name for name in (data.attrs["primary"], *SECONDARY) if name in data["outcome"]]


def of_runs(data: xr.Dataset, outcomes: Sequence[str], **columns: object) -> pd.DataFrame:
    """Return one row a run and outcome.

    Parameters
    ----------
    data : Dataset
    outcomes : sequence of str
    **columns : array of shape (runs,)
        What the rows have besides.
    """
    runs = pd.DataFrame({name: data[name].values for name in ("run", "seed", "regime", "group")})
    runs = runs.assign(series=RUN, diverged=_diverged(data), **columns)
    return pd.concat(
        [runs.assign(**_about(data.sel(outcome=name), name)) for name in outcomes],
        ignore_index=True,
    )


def _about(data: xr.Dataset, outcome: str) -> dict[str, object]:
    words = {name: str(data[name].values) for name in ("meaning", "unit")}
    return {"outcome": outcome, **words} | {n: data[n].values for n in ("value", "reason")}


def _diverged(data: xr.Dataset) -> object:
    known = "diverged" in data["outcome"]
    return data["value"].sel(outcome="diverged").values == 1 if known else False


def with_means(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the rows of runs, and after them a mean of each outcome over what agrees in `by`.

    It has the ends of its 95 % interval by Student's t and the number of ``seeds``; NaN where one
    of these has no number.
    """
    rows = []
    for names, members in runs.groupby(["outcome", "meaning", "unit", *by], sort=False):
        values = members["value"].to_numpy()
        low, high = t_interval(values)
        about = dict(zip(["outcome", "meaning", "unit", *by], names, strict=True))
        rows.append(
            about | {"value": values.mean(), "low": low, "high": high, "seeds": len(values)}
        )
    means = pd.DataFrame(rows).assign(series=MEAN, run="", reason="")
    return pd.concat([runs, means], ignore_index=True)


def by_seed(table: pd.DataFrame) -> dict[int, str]:
    """Return each seed's colour."""
    seeds = sorted(table["seed"].dropna().unique())
    return dict(zip(seeds, style.shades(COLORS, len(seeds)), strict=True))


def summarized(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the means that are drawn: those of several seeds, all of which have a number."""
    means = rows[(rows["series"] == MEAN) & rows["value"].notna()]
    return means[means["seeds"] >= FEWEST]


def missing(table: pd.DataFrame) -> Iterator[tuple[str, list[str], str]]:
    """Yield why runs have no number, the outcomes of which that is so, and how many they are."""
    runs = table[table["series"] == RUN]
    for reason, rows in runs[runs["value"].isna()].groupby("reason", sort=False):
        names = dict.fromkeys(name.replace("_", " ") for name in rows["outcome"])
        number = rows["run"].nunique()
        yield reason, list(names), f"{number} run{'s' if number > 1 else ''}"
