"""The runs of an experiment: what they are called in a figure and which belong together."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.comparison.settings import SEEDS, named, named_seeds, settings_of, varying
from deadtokens.errors import UserError
from deadtokens.figures import style
from deadtokens.figures.columns import typed
from deadtokens.figures.command import Recipe
from deadtokens.figures.inputs import RECORDED, open_of_run
from deadtokens.figures.style import REGIMES
from deadtokens.run.spec import LATER

ATTRIBUTES = ("run", "status")
OF_RECORDINGS = ("results", "recorded")  # the folder of what is derived from them
POINTS_PER_LINE = 2000
DIVERGED = "diverged"
STATUSES = ("complete", DIVERGED)
STEPS = "steps"
SOURCE = "source"  # as xarray calls the file that a dataset was read from


@dataclass(frozen=True)
class Run:
    """One run of an experiment.

    Attributes
    ----------
    data : Dataset
    identity : str
        The run's name among all runs, with its steps where it is given as far as several.
    regime : str
        The precision regime, empty if the run does not say.
    group : str
        What tells this run from the others of the experiment, the seeds left aside; of a recording
        of another training its name.
    label : str
        The same with the seeds that vary.
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


def open_runs(
    paths: Sequence[Path],
    variables: Sequence[str],
    axis: str = "update",
    attributes: Sequence[str] = (),
) -> list[xr.Dataset]:
    """Read one derived file a run.

    Parameters
    ----------
    paths : sequence of Path
        Where a folder is called ``steps-N``, what lies in it is said to be of N updates.
    variables : sequence of str
        What each file must have, besides `axis` and the attributes that say which run it is; a
        recording may lack some, and is marked then.
    axis : str
        Along which the run goes.
    attributes : sequence of str
        What each file must have besides.

    Raises
    ------
    UserError
        If a file is missing, unreadable or lacks something.
    """
    needed = (axis, *variables), (*ATTRIBUTES, *attributes)
    return [from_file(open_of_run(path, *needed), path) for path in paths]


def recipe_of_runs(
    name: str,
    title: str,
    file: str,
    needed: Sequence[str],
    *,
    rows: Callable[[Sequence[Run]], Iterable[pd.DataFrame]],
    types: Mapping[str, str],
    draw: Callable[[pd.DataFrame], Figure],
    open: Callable[..., list[xr.Dataset]] = open_runs,
    **besides: object,
) -> Recipe:
    """Return what draws a figure from one file a run.

    Parameters
    ----------
    name, title, file : str
    needed : sequence of str
        What each file must have.
    rows : callable
        Gives the table's rows from the runs, which come in the order in which they are drawn.
    types : mapping of str to str
        The table's columns and their pandas types.
    draw : callable
    open : callable
        Reads the files, given `needed` and what `besides` says.
    """

    def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
        parts = list(rows(experiment(datasets))) if datasets else []
        return typed(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), types)

    return Recipe(
        name=name,
        title=title,
        inputs=f"{file} of each run of the experiment",
        open=lambda paths: open(paths, needed, **besides),
        table=table,
        draw=style.look()(draw),
    )


def from_file(dataset: xr.Dataset, path: Path) -> xr.Dataset:
    """Note which file it is, and of how many updates of the run if its folder says so."""
    folder = re.fullmatch(r"steps-(\d+)", path.resolve().parent.name)
    named = dataset.assign_attrs({STEPS: int(folder[1])}) if folder else dataset.copy()
    if RECORDED in named.attrs and path.resolve().parts[-4:-2] == OF_RECORDINGS:
        named.attrs["run"] = path.resolve().parent.name  # as the configuration calls it
    named.encoding = dataset.encoding | {SOURCE: str(path)}
    return named


def experiment(datasets: Sequence[xr.Dataset]) -> list[Run]:
    """Name the runs by what varies between their specs, in the order in which they are drawn.

    One run may be given several times, as far as other numbers of updates: then these vary too.

    Raises
    ------
    UserError
        If a run is given twice, or what a file says of its run cannot be read.
    """
    own = [dataset for dataset in datasets if RECORDED not in dataset.attrs]
    recordings = [dataset for dataset in datasets if RECORDED in dataset.attrs]
    runs = _own_runs(own)
    groups = {run.group for run in runs} | {run.label for run in runs}
    return runs + [_recording(dataset, groups) for dataset in recordings]


def _own_runs(datasets: Sequence[xr.Dataset]) -> list[Run]:
    """Name the runs of a study, in the order in which they are drawn."""
    specs = [_spec(dataset) for dataset in datasets]
    identities = [dataset.attrs["run"] for dataset in datasets]
    if len(set(identities)) < len(identities):
        lengths = [_steps(dataset) for dataset in datasets]
        _refuse_repeats(identities, lengths)
        specs = [spec | {STEPS: length} for spec, length in zip(specs, lengths, strict=True)]
    keys = varying(specs)
    runs = [_run(dataset, spec, keys) for dataset, spec in zip(datasets, specs, strict=True)]
    order = sorted(range(len(runs)), key=lambda place: _rank(specs[place], keys))
    return [runs[place] for place in order]


def _steps(dataset: xr.Dataset) -> int:
    """Return how many updates of its run a file is about."""
    if STEPS in dataset.attrs:
        return dataset.attrs[STEPS]
    if "update" in dataset.sizes:
        return dataset.sizes["update"]
    return int(dataset["state"].max()) if "state" in dataset else 0


def _refuse_repeats(identities: Sequence[str], lengths: Sequence[int]) -> None:
    members = list(zip(identities, lengths, strict=True))
    repeated = sorted({member for member in members if members.count(member) > 1})
    if repeated:
        raise UserError(f"run {repeated[0][0]} is given twice: name each run's file once")


def _spec(dataset: xr.Dataset) -> dict:
    """Return the settings of a run by flat, dotted key (``record.segment``), later ones too."""
    run, status = dataset.attrs["run"], dataset.attrs["status"]
    file = dataset.encoding.get(SOURCE, f"run {run}")
    try:
        spec = json.loads(dataset.attrs["spec"])
    except (KeyError, json.JSONDecodeError, TypeError):
        spec = None
    if not isinstance(spec, dict) or not isinstance(run, str):
        raise UserError(f"{file}: the spec of its run {run} is no JSON object; make it again")
    at = dataset.attrs.get("diverged_at")
    if status not in STATUSES or (status == DIVERGED and not isinstance(at, int | np.integer)):
        raise UserError(
            f"{file}: does not say whether run {run} diverged (status {status!r}, diverged_at "
            f"{at!r}); make it again"
        )
    return settings_of(spec, LATER)


def _run(dataset: xr.Dataset, spec: dict, keys: list[str]) -> Run:
    regime = str(spec.get("precision", ""))
    settings = [named(key, spec) for key in keys if key not in SEEDS]
    name = dataset.attrs["run"]
    group = ", ".join(settings) or regime or name
    label = ", ".join(filter(None, (group, named_seeds(spec, keys))))
    identity = f"{name}, steps {spec[STEPS]}" if STEPS in spec else name
    return Run(dataset, identity, regime, group, label)


def _recording(dataset: xr.Dataset, groups: Collection[str]) -> Run:
    """Name a recording: as it is called, unless a run of the study is called so."""
    name = str(dataset.attrs["run"])
    label = f"{name} (recorded)" if name in groups else name
    return Run(dataset, f"{RECORDED}/{name}", "", label, label)


def _rank(spec: dict, keys: list[str]) -> list[tuple]:
    return [_place(key, spec.get(key)) for key in keys]


def _place(key: str, value: object) -> tuple[int, float, str]:
    if key == "precision" and value in list(REGIMES):
        return 0, list(REGIMES).index(value), ""
    if isinstance(value, int | float):
        return 1, value, ""
    return 2, 0, json.dumps(value)


def described(rows: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Put the run's names before the columns of its rows."""
    names = {"group": run.group, "regime": run.regime, "label": run.label, "run": run.identity}
    return rows.assign(**names)[[*names, *rows.columns]]


def populations(run: Run) -> dict[str, int]:
    """Count the run's tokens by population; one without tokens is left out.

    Live are those of the training text that stood in a batch of the run, never sampled those that
    stood in none. A file that does not tell them apart calls both live.
    """
    dead = int(np.count_nonzero(run.data["dead"]))
    never = int(np.count_nonzero(run.data.get("never_sampled", ())))
    live = run.data.sizes["token"] - dead - never
    tokens = {"dead": dead, "live": live, "never sampled": never}
    return {population: number for population, number in tokens.items() if number}


def longest(runs: Sequence[Run]) -> int:
    """Return the number of updates of the longest run."""
    return max(run.data.sizes["update"] for run in runs)


def thinning(runs: Sequence[Run]) -> int:
    """Return the n of "every n-th update is drawn" for lines that go one way, and for paths."""
    return max(1, -(-longest(runs) // POINTS_PER_LINE))


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
