"""Effects among the contrasts of an experiment's outcomes."""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from deadtokens.claims.sample import Entry, NotTested, Sample, deciding, entries_of_runs
from deadtokens.study.claims import Effect, listed
from deadtokens.study.members import same

NO_PAIR = "a run or its outcome is missing"


def of_effect(data: xr.Dataset, effect: Effect) -> Sample:
    """Return the differences of an effect by seed.

    Parameters
    ----------
    data : Dataset
        Outcomes of the experiment.
    effect : Effect

    Raises
    ------
    NotTested
        If the experiment has no such contrast, or several.
    """
    keys = data["key"].values.tolist()
    sides = zip(data["before"].values.tolist(), data["after"].values.tolist(), strict=True)
    signs = [
        _sign(dict(zip(keys, before, strict=True)), dict(zip(keys, after, strict=True)), effect)
        for before, after in sides
    ]
    found = np.flatnonzero(signs)
    if found.size == 0:
        raise NotTested("the experiment has no such contrast")
    if found.size > 1:
        raise NotTested("the experiment has several such contrasts: its other settings differ too")
    contrast = data.isel(contrast=found[0]).sel(outcome=effect.outcome)
    runs = entries_of_runs(data.isel(run=_made_from(contrast)), effect.outcome)
    differences = signs[found[0]] * contrast["difference"].values
    entries = [
        _entry(seed, number, [run for run in runs if run.seed == seed])
        for seed, number in zip(data["pair"].values.tolist(), differences.tolist(), strict=True)
    ]
    numbered = {entry.seed for entry in entries if np.isfinite(entry.number)}
    return Sample(entries, sum(run.seed in numbered for run in runs))


def _sign(before: dict[str, str], after: dict[str, str], effect: Effect) -> int:
    """Return 1 for the contrast that is meant, -1 for its reverse, 0 for another one.

    Parameters
    ----------
    before, after : dict of str to str
        The contrast's settings by key.
    effect : Effect
    """
    changed = {key for key in after if before[key] != after[key]}
    averaged = {key for key in after if not after[key]}
    if changed != set(effect.keys) or averaged != {effect.over} - {None}:
        return 0
    if not all(key in after and same(after[key], value) for key, value in effect.context.items()):
        return 0
    wanted = zip(effect.keys, listed(effect.from_), listed(effect.to), strict=True)
    return math.prod(_direction(before[key], after[key], *values) for key, *values in wanted)


def _direction(before: str, after: str, wanted_before: object, wanted_after: object) -> int:
    if same(before, wanted_before) and same(after, wanted_after):
        return 1
    return -int(same(before, wanted_after) and same(after, wanted_before))


def _made_from(contrast: xr.Dataset) -> np.ndarray:
    """Tell of each run if a contrast is made from its setting; "" stands for every value."""
    setting, before, after = (contrast[name] for name in ("setting", "before", "after"))
    chosen = (setting == before) | (setting == after) | (after == "")
    return chosen.all("key").transpose("run").values


def _entry(seed: int, number: float, runs: Sequence[Entry]) -> Entry:
    """Return a seed's difference, or why its runs give none."""
    if np.isfinite(number):
        return Entry(seed, number)
    without = deciding(runs) or Entry(seed, np.nan, NO_PAIR)
    return Entry(seed, np.nan, without.reason, without.diverged)
