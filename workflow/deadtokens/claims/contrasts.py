"""Effects among the contrasts of an experiment's outcomes."""

from itertools import permutations

import numpy as np
import xarray as xr

from deadtokens.claims.sample import Entry, NotTested, Sample
from deadtokens.comparison.effects import BETWEEN, EFFECT, INTERACTION, MAIN
from deadtokens.comparison.settings import named_value, short
from deadtokens.study.claims import Effect, listed, same

SEPARATOR = ", "
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
    signs = np.array([_sign(data.isel(contrast=place), effect) for place in _places(data)])
    found = np.flatnonzero(signs)
    if found.size == 0:
        raise NotTested("the experiment has no such contrast")
    if found.size > 1:
        raise NotTested("the experiment has several such contrasts: its other settings differ too")
    contrast = data.isel(contrast=found[0]).sel(outcome=effect.outcome)
    differences = signs[found[0]] * contrast["difference"].values
    entries = [
        Entry(int(seed), float(number), "" if np.isfinite(number) else _why(data, effect, seed))
        for seed, number in zip(data["pair"].values, differences, strict=True)
    ]
    return Sample(entries, len(entries) * _cells(data, effect))


def _places(data: xr.Dataset) -> range:
    return range(data.sizes["contrast"])


def _sign(contrast: xr.Dataset, effect: Effect) -> int:
    """Return 1 for the contrast that is meant, -1 for its reverse, 0 for another one."""
    kind = INTERACTION if len(effect.keys) == 2 else EFFECT if effect.over is None else MAIN
    if str(contrast["kind"].values) != kind or not _in_context(contrast, effect):
        return 0
    wanted = list(zip(effect.keys, listed(effect.to), listed(effect.from_), strict=True))
    keys, to, from_ = (
        str(contrast[name].values).split(separator)
        for name, separator in (
            ("changed_key", BETWEEN),
            ("changed_to", SEPARATOR),
            ("changed_from", SEPARATOR),
        )
    )
    present = list(zip(keys, to, from_, strict=False))
    signs = (
        np.prod([_direction(*two) for two in zip(order, present, strict=True)])
        for order in permutations(wanted)
        if len(order) == len(present)
    )
    return next((int(sign) for sign in signs if sign), 0)


def _direction(wanted: tuple, present: tuple) -> int:
    if wanted[0] != present[0]:
        return 0
    if same(present[1], wanted[1]) and same(present[2], wanted[2]):
        return 1
    return -int(same(present[1], wanted[2]) and same(present[2], wanted[1]))


def _in_context(contrast: xr.Dataset, effect: Effect) -> bool:
    parts = str(contrast["context"].values).split(SEPARATOR)
    if effect.over is not None and f"over {short(effect.over)}" not in parts:
        return False
    settings = contrast["setting"]
    for key, wanted in effect.context.items():
        values = settings.sel(key=key).values if key in contrast["key"] else []
        names = [named_value(key, str(value)) for value in values if same(str(value), wanted)]
        if not set(names) & set(parts):
            return False
    return True


def _why(data: xr.Dataset, effect: Effect, seed: int) -> str:
    reasons = data["reason"].sel(outcome=effect.outcome).values[data["seed"].values == seed]
    return next(filter(None, map(str, reasons)), NO_PAIR)


def _cells(data: xr.Dataset, effect: Effect) -> int:
    """Return from how many runs of a seed a contrast is made."""
    if effect.over is None:
        return 2 * len(effect.keys)
    return 2 * len(np.unique(data["setting"].sel(key=effect.over)))
