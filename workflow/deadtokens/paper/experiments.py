"""The tables of an experiment in the paper: what its settings come to, and the effects."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.comparison.effects import EFFECT
from deadtokens.comparison.measures import OUTCOMES, PRIMARY
from deadtokens.netcdf import read_derived
from deadtokens.paper.words import UNDEFINED, interval, number
from deadtokens.study.study import Study

SHOWN = (PRIMARY, "still", "thaws", "half_frozen", "path_length", "loss")
EFFECTS_SHOWN = (PRIMARY, "loss")
MANY = 24  # contrasts


def experiment_tables(study: Study, results: Path, files: Iterable[str]) -> list[dict]:
    """Return the tables of every experiment that has its outcomes."""
    found = []
    for name, experiment in study.experiments.items():
        path = f"experiments/{name}/outcomes.nc"
        if path in files:
            tables = _tables(read_derived(results / path))
            found.append(tables | {"name": name, "title": experiment.title})
    return found


def outcomes_shown() -> list[dict[str, str]]:
    """Return the outcomes that the tables show, and what they are."""
    return [_named(name) | {"meaning": OUTCOMES[name].long_name} for name in SHOWN]


def _named(outcome: str) -> dict[str, str]:
    return {"name": outcome.replace("_", " ")}


def _tables(data: xr.Dataset) -> dict:
    seeds = len(np.unique(data["seed"]))
    places = _places(data)
    return {
        "seeds": number(seeds),
        "one_seed": seeds == 1,
        "outcomes": [_named(name) for name in SHOWN],
        "settings": [_setting(data, group) for group in dict.fromkeys(data["group"].values)],
        "effects_of": [_named(name) for name in EFFECTS_SHOWN],
        "effects": [_effect(data.isel(contrast=place)) for place in places],
        "all_effects": len(places) == data.sizes["contrast"],
        "without_effect": [_name(data.isel(contrast=place)) for place in _nothing_changed(data)],
    }


def _places(data: xr.Dataset) -> list[int]:
    """Return the contrasts that are shown: all, or of very many the effects that change one thing.

    Main effects and interactions come first, as each sums up several effects.
    """
    of_one = data["kind"].values == EFFECT
    together = [] if of_one.size > MANY else np.flatnonzero(~of_one).tolist()
    return [*together, *np.flatnonzero(of_one).tolist()]


def _setting(data: xr.Dataset, group: str) -> dict:
    runs = data.isel(run=data["group"].values == group)
    cells = [
        _mean(runs["value"].sel(outcome=name).values, with_range=name == PRIMARY) for name in SHOWN
    ]
    return {"name": str(group), "runs": number(runs.sizes["run"]), "cells": cells}


def _mean(values: np.ndarray, with_range: bool) -> str:
    """Write the mean of the runs; of some of them, of how many; and the lowest and the highest."""
    known = values[np.isfinite(values)]
    if not known.size:
        return UNDEFINED
    text = number(float(known.mean()))
    if with_range and known.size > 1:
        text += f" ({number(float(known.min()))}–{number(float(known.max()))})"
    return text + (f" [{known.size} of {values.size}]" if known.size < values.size else "")


def _effect(contrast: xr.Dataset) -> dict:
    cells = []
    for name in EFFECTS_SHOWN:
        one = contrast.sel(outcome=name)
        limits = interval(float(one["low"]), float(one["high"]))
        cells.append(number(float(one["mean"])) + (f" [{limits}]" if limits else ""))
    pairs = number(int(contrast["pairs"].sel(outcome=PRIMARY)))
    return {"name": _name(contrast), "pairs": pairs, "cells": cells}


def _name(contrast: xr.Dataset) -> str:
    return str(contrast["contrast"].values)


def _nothing_changed(data: xr.Dataset) -> list[int]:
    """Return the effects that are zero in every seed and outcome shown, in its last digit."""
    differences = data["difference"].sel(outcome=list(SHOWN)).values
    same = ((differences == 0) | np.isnan(differences)).all(axis=(1, 2))
    has_loss = np.isfinite(data["difference"].sel(outcome="loss").values).all(axis=1)
    return np.flatnonzero(same & has_loss & (data["kind"].values == EFFECT)).tolist()
