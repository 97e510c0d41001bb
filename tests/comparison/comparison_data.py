"""Derived files of planted runs, as small as `deadtokens outcomes` can read them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.comparison.measures import CAUSES
from deadtokens.comparison.members import Experiment, read_experiment
from deadtokens.drift.endpoint import CLUES, FORECASTS, MEASURES, SPANS
from deadtokens.drift.labels import WALKS
from deadtokens.freezing.lasting import FRACTIONS, JUDGEMENTS
from deadtokens.stillness.causes import HOLDERS

UPDATES = 20
DEAD = np.array([True, True, True, True, False])


def about(run: str, updates: int = UPDATES, at: int | None = None, **spec: object) -> dict:
    """Return what a derived file says of its run; `spec` holds its settings."""
    status = {"status": "complete"} if at is None else {"status": "diverged", "diverged_at": at}
    return {"run": run, "spec": json.dumps(spec), "updates": updates, **status}


def freezing(frozen: Sequence[float], dead: np.ndarray = DEAD) -> xr.Dataset:
    """Return a freezing in which `frozen` of the dead tokens rest, and of the components more.

    On bfloat16's grid, and for live tokens, everything is otherwise.
    """
    frozen = np.asarray(frozen, float)
    moved = (1 - frozen) / 2
    of_tokens = ("token", "grid")
    return xr.Dataset(
        {
            "frozen_fraction": (("update", "population"), np.stack([frozen, 1 - frozen], axis=1)),
            "moved_fraction": (
                ("update", "population", "grid"),
                np.stack([[0 * moved, moved], [0 * moved, 1 - moved]]).T.swapaxes(1, 2),
            ),
            "last_motion": (of_tokens, [[99, 4], [99, 8], [99, 6], [99, 20], [99, 3]]),
            "unsettled": (of_tokens, [[True, False]] * 3 + [[False, True]] * 2),
            "thaws": (of_tokens, [[9, 0], [9, 2], [9, 1], [9, 0], [9, 7]]),
            **{
                f"forecast_{name}": (
                    ("cut", "judgement", "grid"),
                    [[[7, number] for number in row], [[9, 9]] * 3],
                )
                for name, row in (("tokens", (2, 6, 1)), ("moved", (1, 2, 1)))
            },
            "forecast_shift_quantile": (
                ("cut", "judgement", "grid", "quantile"),
                np.arange(36).reshape(2, 3, 2, 3) + 0.5,
            ),
            "dead": ("token", dead),
        },
        coords={
            "update": 1 + np.arange(len(frozen)),
            "population": ["dead", "live"],
            "grid": ["bfloat16", "recorded"],
            "cut": list(FRACTIONS),
            "judgement": list(JUDGEMENTS),
            "quantile": [0.05, 0.5, 0.95],
        },
    )


def stillness(totals: Sequence[int]) -> xr.Dataset:
    """Return how many still components have each cause."""
    still = sum(totals)
    return xr.Dataset(
        {
            "cause_total": ("cause", np.asarray(totals)),
            "holder_total": ("holder", np.array([6, 2, 9, 10]) * still // 10),
            "combination_total": ("combination", [still - still // 2, still // 2]),
        },
        coords={"cause": list(CAUSES), "holder": list(HOLDERS), "token": np.arange(4)},
    )


def drift(scale: float = 1.0) -> xr.Dataset:
    """Return a centroid that goes 3 along one axis and 4 along another; live ones go elsewhere."""
    path = scale * np.array([[1, 1], [4, 1], [4, 5]], float)
    centroid = np.stack([path, 100 * path], axis=1)
    both = ("state", "population")
    ends = np.arange(2 * len(FORECASTS)).reshape(-1, 2) / 100  # over (rest, whole)
    return xr.Dataset(
        {
            "centroid": ((*both, "component"), centroid),
            "path_length": (both, scale * np.array([[0, 0], [3, 1], [7, 2]], float)),
            "efficiency": (both, [[np.nan, np.nan], [1, 0.1], [5 / 7, 0.2]]),
            "walk_efficiency": ((*both, "walk"), np.arange(12).reshape(3, 2, 2) / 10),
            "common_share": ("source", [0.7, 0.9]),
            "place_effect": (("population", "number", "place"), [[[-0.5, -0.9]], [[1, 1]]]),
            "effect": (
                ("population", "property", "response"),
                [[[9, 9], [-0.6, 9]], [[9, 9], [9, 9]]],
            ),
            "radius": (both, [[2, 9], [1.5, 9], [0.5, 8]]),
            "share": (
                ("source", "centring", "rank"),
                [[[0.75, 0.25], [0.6, 0.4]], [[0.9, 0.1], [0.8, 0.2]]],
            ),
            **{
                f"end_forecast_{name}": (("forecast", "span"), place + ends)
                for place, name in enumerate(MEASURES)
            },
            "end_clue_cosine": ("clue", [0.1, -0.2, -0.3]),
            "end_arrival": ((), 2.0 if scale else np.nan),
            "end_reach": ((), 0.4 if scale else np.nan),
            "dead": ("token", DEAD),
        },
        coords={
            "population": ["dead", "live"],
            "source": ["net displacement", "centroid displacement"],
            "centring": ["raw", "centred"],
            "forecast": list(FORECASTS),
            "span": list(SPANS),
            "clue": list(CLUES),
            "walk": list(WALKS),
            "number": ["initial cosine to h"],
            "place": ["start", "end"],
            "property": ["initial norm", "initial cosine to h"],
            "response": ["score", "residual"],
        },
    )


def attribution() -> xr.Dataset:
    """Return shares of the dead centroid that are 1/8, 2/8, 4/8 and 1/8 at the end."""
    last = {"decay": 1, "present": 2, "momentum": 4, "rounding": 1}
    dead = np.array([[8, 8, 8, 8], list(last.values())]) / 8
    return xr.Dataset(
        {
            "cumulated_share": (("update", "population", "term"), np.stack([dead, 0 * dead], 1)),
            "dead": ("token", DEAD),
        },
        coords={"population": ["dead", "live"], "term": list(last)},
    )


def scalars(loss: Sequence[float]) -> xr.Dataset:
    """Return a run's losses, and an entropy of 8, 5, 7, 7, ... nats."""
    entropy = np.array([8, 5, *[7] * len(loss)][: len(loss)], "float32")
    values = {"loss": np.asarray(loss, "float32"), "entropy": entropy}
    updates = {"update": 1 + np.arange(len(values["loss"]))}
    return xr.Dataset({name: ("update", array) for name, array in values.items()}, updates)


def planted(frozen: float = 1.0, loss: float = 1.0) -> dict[str, xr.Dataset]:
    """Return all files of a run; `frozen` of its tokens rest in the last two updates."""
    rising = [0, 0, 0, 0.5, 0.25, 0.75, 0.9, *[0.25] * (UPDATES - 9), frozen, frozen]
    return {
        "scalars.nc": scalars([9.0] * (UPDATES - 2) + [loss, loss]),
        "freezing.nc": freezing(rising),
        "drift.nc": drift(),
        "stillness.nc": stillness([0, 6, 0, 0, 0, 3, 1, 0]),
        "attribution.nc": attribution(),
    }


def put(folder: Path, files: Mapping[str, xr.Dataset], **said: object) -> list[Path]:
    """Write a run's files where a folder claims nothing; `said` is that of `about`."""
    attributes = about(**said)
    where = folder / str(len(list(folder.iterdir())))
    where.mkdir()
    for name, dataset in files.items():
        dataset.assign_attrs(attributes).to_netcdf(where / name, engine="h5netcdf")
    return [where / name for name in files]


def experiment(folder: Path, runs: Sequence[tuple[dict, Mapping[str, xr.Dataset]]]) -> Experiment:
    """Write the files of runs, each given by what it says and its datasets, and read them."""
    paths = [path for said, files in runs for path in put(folder, files, **said)]
    return read_experiment(paths)


def of_numbers(values: Mapping[tuple[str, int], float], key: str = "precision") -> list:
    """Return runs whose primary outcome is given by the value of one key and the seed."""
    return [
        (
            {"run": f"{value}-{seed}", key: value, "seed": seed},
            {"freezing.nc": freezing([number] * UPDATES)},
        )
        for (value, seed), number in values.items()
    ]
