"""The runs of an experiment: what they are called in a figure and which belong together."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from deadtokens.errors import UserError
from deadtokens.figures.inputs import open_dataset
from deadtokens.figures.style import REGIMES

ATTRIBUTES = ("run", "spec", "status")
POINTS_PER_LINE = 2000
EACH, MEAN, DIVERGED = "each update", "mean of runs", "diverged"


@dataclass(frozen=True)
class Run:
    """One run of an experiment.

    Attributes
    ----------
    data : Dataset
    identity : str
        The run's name among all runs.
    regime : str
        The precision regime, empty if the run does not say.
    group : str
        What tells this run from the others of the experiment, the seed left aside.
    label : str
        The same with the seed, if seeds vary.
    """

    data: xr.Dataset
    identity: str
    regime: str
    group: str
    label: str

    @property
    def diverged(self) -> bool:
        """Whether the run ended because its loss was no longer finite."""
        return self.data.attrs["status"] == "diverged"


def open_runs(paths: Sequence[Path], variables: Sequence[str]) -> list[xr.Dataset]:
    """Read one derived file a run.

    Raises
    ------
    UserError
        If a file is missing, unreadable or lacks one of `variables`, ``update`` or the attributes
        that say which run it is.
    """
    return [open_dataset(path, ("update", *variables), ATTRIBUTES) for path in paths]


def experiment(datasets: Sequence[xr.Dataset]) -> list[Run]:
    """Name the runs by what varies between their specs, in the order in which they are drawn.

    Raises
    ------
    UserError
        If a run is given twice or its spec is no JSON object.
    """
    _refuse_repeats([dataset.attrs["run"] for dataset in datasets])
    specs = [_spec(dataset) for dataset in datasets]
    keys = _varying(specs)
    runs = [_run(dataset, spec, keys) for dataset, spec in zip(datasets, specs, strict=True)]
    order = sorted(range(len(runs)), key=lambda place: _rank(specs[place], keys))
    return [runs[place] for place in order]


def _refuse_repeats(identities: list[str]) -> None:
    repeated = sorted({name for name in identities if identities.count(name) > 1})
    if repeated:
        raise UserError(f"run {repeated[0]} is given twice: name each run's file once")


def _spec(dataset: xr.Dataset) -> dict:
    try:
        spec = json.loads(dataset.attrs["spec"])
    except json.JSONDecodeError:
        spec = None
    if not isinstance(spec, dict):
        raise UserError(f"the spec of run {dataset.attrs['run']} is no JSON object: make it again")
    return spec


def _varying(specs: list[dict]) -> list[str]:
    """Return the keys whose values differ: the precision first, the seed last."""
    keys = list(dict.fromkeys(key for spec in specs for key in spec))
    differ = [key for key in keys if len({json.dumps(spec.get(key)) for spec in specs}) > 1]
    return sorted(differ, key=lambda key: (key == "seed") - (key == "precision"))


def _run(dataset: xr.Dataset, spec: dict, keys: list[str]) -> Run:
    regime = str(spec.get("precision", ""))
    settings = [_setting(key, spec) for key in keys if key != "seed"]
    group = ", ".join(settings) or regime or dataset.attrs["run"]
    label = f"{group}, {_setting('seed', spec)}" if "seed" in keys else group
    return Run(dataset, dataset.attrs["run"], regime, group, label)


def _setting(key: str, spec: dict) -> str:
    name = key.replace("_", " ")
    if key not in spec:
        return f"{name} not set"
    value = spec[key] if isinstance(spec[key], str) else json.dumps(spec[key])
    return value if key == "precision" else f"{name} {value}"


def _rank(spec: dict, keys: list[str]) -> list[tuple]:
    return [_place(key, spec.get(key)) for key in keys]


def _place(key: str, value: object) -> tuple[int, float, str]:
    if key == "precision" and value in REGIMES:
        return 0, list(REGIMES).index(value), ""
    if isinstance(value, int | float):
        return 1, value, ""
    return 2, 0, json.dumps(value)


def described(rows: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Put the run's names before the columns of its rows."""
    names = {"group": run.group, "regime": run.regime, "label": run.label, "run": run.identity}
    return rows.assign(**names)[[*names, *rows.columns]]


def populations(run: Run) -> dict[str, int]:
    """Count the run's dead and live tokens; a population without tokens is left out."""
    dead = int(np.count_nonzero(run.data["dead"]))
    tokens = {"dead": dead, "live": run.data.sizes["token"] - dead}
    return {population: number for population, number in tokens.items() if number}


def thinning(runs: Sequence[Run]) -> int:
    """Return the n of "every n-th update is drawn" that keeps the longest line drawable."""
    longest = max(run.data.sizes["update"] for run in runs)
    return max(1, -(-longest // POINTS_PER_LINE))


def drawn(updates: np.ndarray, every: int) -> np.ndarray:
    """Tell which updates are drawn: the first, every `every`-th after it, and the last.

    Parameters
    ----------
    updates : ndarray of shape (updates,)
        Ascending.
    every : int

    Returns
    -------
    ndarray of bool, of shape (updates,)
    """
    return ((updates - 1) % every == 0) | (updates == updates.max(initial=0))


def mean_over_runs(rows: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Average `value` over the runs of each group that has several.

    The mean exists only where all runs of the group do: it never jumps because a run ended.

    Parameters
    ----------
    rows : DataFrame
        One row a run and point: ``group``, ``regime``, ``run``, the columns `by`, and `value`.
    by : sequence of str
        What makes a point: ``update``, and ``population`` if there is one.
    value : str
    """
    point = ["group", "regime", *by]
    means = rows.groupby(point, sort=False)[value].agg(["mean", "size"]).reset_index()
    runs = means["group"].map(rows.groupby("group")["run"].nunique())
    several = means[(runs > 1) & (means["size"] == runs)]
    names = several.assign(label=several["group"], run="", series=MEAN)
    return names.rename(columns={"mean": value}).drop(columns="size")


def curve(run: Run, every: int, **values: ArrayLike) -> pd.DataFrame:
    """Return a line over a run's updates, thinned, and with it what `end_of` gives.

    Parameters
    ----------
    run : Run
    every : int
        Every so many-th update is drawn.
    **values : array_like of shape (updates,)
        Columns.
    """
    updates = run.data["update"].values
    line = pd.DataFrame({"series": EACH, "update": updates, **values})[drawn(updates, every)]
    return pd.concat([line, end_of(line, run)])


def end_of(line: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Return the row that marks where a diverged run's line ends, none for a complete run.

    A run that diverged at its first update has no line: its row then has no value.
    """
    if not run.diverged:
        return line.iloc[:0]
    at = int(run.data.attrs["diverged_at"])
    last = line.iloc[[-1]] if len(line) else line.reindex([0]).assign(update=at)
    return last.assign(series=DIVERGED, diverged_at=at)
