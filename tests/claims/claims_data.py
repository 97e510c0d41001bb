"""Planted data for claims: files in which a claim's number is what a test wants it to be."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import xarray as xr

from deadtokens.claims.contrasts import of_effect
from deadtokens.claims.sample import Entry, Sample
from deadtokens.claims.selection import combine, outcome_entries, variable_entry
from deadtokens.comparison.settings import written
from deadtokens.study.claims import Claim, Effect, Value, Variable, listed

LENGTH = 4  # of an axis that a statistic is taken over


def planted_sample(
    claim: Claim, numbers: Sequence[float], others: Sequence[float] | None = None
) -> Sample:
    """Return the sample of a claim out of planted files.

    Parameters
    ----------
    claim : Claim
    numbers : sequence of float
        One a seed: of the runs with the claim's setting, or of the effect.
    others : sequence of float or None
        Of the runs by which they are divided, where the claim divides.
    """
    subject = claim.subject
    if isinstance(subject, Effect):
        return of_effect(effect_data(subject, numbers), subject)
    divided = subject.ratio_to is not None
    below = _entries(subject, others or [1.0] * len(numbers)) if divided else None
    return combine(claim, _entries(subject, numbers), below)


def _entries(subject: Value | Variable, numbers: Sequence[float]) -> list[Entry]:
    if isinstance(subject, Variable):
        files = [variable_data(subject, number) for number in numbers]
        return [variable_entry(file, seed, subject) for seed, file in enumerate(files)]
    settings = [{"key": "another"}, *[{"key": "meant"}] * len(numbers)]
    data = outcome_data(subject.outcome, [np.nan, *numbers])
    return outcome_entries(data, settings, subject, {"key": "meant"})


def outcome_data(outcome: str, numbers: Sequence[float]) -> xr.Dataset:
    """Return outcomes of a first run and of one a seed, beside another outcome that is NaN."""
    return xr.Dataset(
        {
            "value": (("run", "outcome"), [[np.nan, number, 0.0] for number in numbers]),
            "reason": (("run", "outcome"), [["never", "", ""]] * len(numbers)),
            "seed": ("run", [0, *range(len(numbers) - 1)]),
        },
        coords={"outcome": ["another", outcome, "diverged"]},
    )


def effect_data(effect: Effect, differences: Sequence[float]) -> xr.Dataset:
    """Return the contrast that a claim means, between two others of which the numbers are NaN."""
    held = list(map(written, effect.context.values()))
    averaged = [""] if effect.over else []
    keys = ["seed", *effect.keys, *effect.context, *([effect.over] if effect.over else [])]
    to, from_ = ([written(value) for value in listed(one)] for one in (effect.to, effect.from_))
    before, after = (["0", *values, *held, *averaged] for values in (from_, to))
    of_seeds = ["1", *from_, *held, *averaged]
    elsewhere = ["0", "no", *to[1:], *held, *averaged]
    values = [[np.nan] * len(differences), list(differences), [np.nan] * len(differences)]
    varied = [*zip(from_, to, strict=True), *[("one", "other")] * bool(effect.over)]
    cells = [["0", *cell[: len(to)], *held, *cell[len(to) :]] for cell in product(*varied)]
    runs = [*cells, ["0", "no", *to[1:], *held, *["one"] * bool(effect.over)]]
    seeds = np.repeat(np.arange(len(differences)), len(runs))
    return xr.Dataset(
        {
            "difference": (("contrast", "outcome", "pair"), np.stack([values] * 2, axis=1)),
            "value": (("run", "outcome"), [[0.5, 0.0]] * len(seeds)),
            "reason": (("run", "outcome"), [["", ""]] * len(seeds)),
            "seed": ("run", seeds),
            "setting": (("run", "key"), runs * len(differences)),
            "before": (("contrast", "key"), [before] * 3),
            "after": (("contrast", "key"), [of_seeds, after, elsewhere]),
        },
        coords={
            "outcome": [effect.outcome, "diverged"],
            "pair": np.arange(len(differences)),
            "key": keys,
        },
    )


def variable_data(selection: Variable, number: float) -> xr.Dataset:
    """Return a file in which what is selected comes to a number, and everything else to NaN."""
    axes = dict.fromkeys(selection.at, 2)
    taken = axes | dict.fromkeys(selection.within, LENGTH)
    if selection.statistic is not None and not selection.within:
        taken["token"] = LENGTH
    values = np.full(list(taken.values()), np.nan)
    inner = tuple(1 if axis in selection.at else slice(None) for axis in taken)
    values[inner] = _line(selection, number) if len(taken) > len(axes) else number
    coords = {
        axis: ["another", label] if isinstance(label, str) else [label - 1, label]
        for axis, label in selection.at.items()
    }
    for axis, (first, last) in selection.within.items():
        coords[axis] = np.linspace(first, last, LENGTH)
    data = {selection.variable: (list(taken), values)}
    if selection.relative_to is not None:
        data[selection.relative_to] = ((), 1.0)
    if selection.where is not None:
        data[selection.where] = ("token", np.ones(LENGTH, bool))
    return xr.Dataset(data, coords=coords)


def _line(selection: Variable, number: float) -> np.ndarray:
    """Return values of which the statistic is a number."""
    values = np.full(LENGTH, float(number))
    if selection.statistic == "sum":
        return values / LENGTH
    if selection.statistic == "last over first":
        values[0] = 1.0
    return values
