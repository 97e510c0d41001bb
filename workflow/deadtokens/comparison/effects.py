"""What changing one setting does: contrasts between runs, paired by seed.

A contrast is a sum of settings' outcomes with weights that sum to zero, taken for each seed apart;
the seeds' numbers are its sample. Runs of a pair share the seed of their weights and that of their
batches. Where both differ between pairs, the weights' seed is the unit, over whose batch seeds the
contrast is averaged; where all share it, that of the batches is. An *effect* holds a value of one
key against its baseline, all else equal. Where two keys are varied over a full grid, a *main
effect* is the mean of the first's effects over all values of the second, and an *interaction* how
much an effect of the first differs between a value of the second and its baseline.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product

import numpy as np

from deadtokens.comparison.bootstrap import bootstrap_interval
from deadtokens.comparison.intervals import t_interval
from deadtokens.comparison.settings import BATCH_SEED, SEED, SEEDS, named_value, short, written
from deadtokens.comparison.shapes import EFFECT, INTERACTION, MAIN
from deadtokens.run.factors import FACTORS, factor_values
from deadtokens.run.spec import DEFAULTS, flat

Setting = tuple[str, ...]
Draw = tuple[int, int]  # seeds of weights and of batches
BETWEEN = " x "  # two keys of an interaction
BASELINES = flat(DEFAULTS) | factor_values(DEFAULTS.precision, FACTORS)


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of settings.

    Attributes
    ----------
    kind : {'effect', 'main effect', 'interaction'}
    keys : sequence of str
        The varied keys.
    before, after : tuple of str
        Their values at the baseline and with the change; empty where the mean over all values is
        taken. They differ in the key that is changed, of an interaction in both.
    at_baseline : bool
        Whether the others are at their baselines.
    weights : dict of tuple to float
        By the values of the varied keys.
    """

    kind: str
    keys: Sequence[str]
    before: Setting
    after: Setting
    at_baseline: bool
    weights: Mapping[Setting, float]

    @property
    def changed_key(self) -> str:
        """What is changed; of an interaction both keys."""
        return BETWEEN.join(self.keys[place] for place in self._places(changed=True))

    @property
    def changed_to(self) -> str:
        """To which value, or both keys' values."""
        return ", ".join(self.after[place] for place in self._places(changed=True))

    @property
    def changed_from(self) -> str:
        """From which baseline, or both keys' baselines."""
        return ", ".join(self.before[place] for place in self._places(changed=True))

    @property
    def context(self) -> str:
        """The other settings that differ within the experiment, as they are here."""
        others = [(self.keys[place], self.after[place]) for place in self._places(changed=False)]
        averaged = [f"over {short(key)}" for key, value in others if not value]
        held = [named_value(key, value) for key, value in others if value]
        return ", ".join(averaged + held)

    @property
    def label(self) -> str:
        """What a figure calls it."""
        key, changed = self.changed_key, f"{self.changed_to} against {self.changed_from}"
        about = {
            EFFECT: named_value(key, changed),
            MAIN: f"mean of {named_value(key, changed)}",
            INTERACTION: f"{short(key)}: {changed}",
        }[self.kind]
        return f"{about} ({self.context})" if self.context else about

    def _places(self, changed: bool) -> list[int]:
        """Return the places of the keys that are changed, or those of the others."""
        values = zip(self.before, self.after, strict=True)
        return [place for place, pair in enumerate(values) if (pair[0] != pair[1]) == changed]


class Design:
    """Which settings an experiment has, and which contrasts they allow.

    Parameters
    ----------
    keys : sequence of str
    settings : sequence of tuple of str
        The values of the keys, one tuple a run or a setting.
    """

    def __init__(self, keys: Sequence[str], settings: Sequence[Setting]):
        self.keys = keys
        self.present = list(dict.fromkeys(settings))
        self.levels = [self._levels(place) for place in range(len(keys))]

    def contrasts(self) -> list[Contrast]:
        """Return all effects, then main effects and interactions."""
        places = range(len(self.keys))
        effects = (self._effects(place) for place in places)
        grids = (self._of_grids(pair) for pair in combinations(places, 2))
        return list(chain.from_iterable([*effects, *grids]))

    def _levels(self, place: int) -> list[str]:
        """Return the values of a key as they come, the package's default first if it is one."""
        values = list(dict.fromkeys(setting[place] for setting in self.present))
        default = written(BASELINES.get(self.keys[place]))
        return sorted(values, key=lambda value: value != default)

    def _contexts(self, *places: int) -> list[Setting]:
        """Return the settings that are present, each once, with some keys left open."""
        left_open = dict.fromkeys(places, "")
        return list(dict.fromkeys(_replaced(setting, left_open) for setting in self.present))

    def _at_baseline(self, context: Setting, *places: int) -> bool:
        """Tell whether the settings of a context are at their baselines, but for some keys."""
        others = [place for place in range(len(self.keys)) if place not in places]
        return all(context[place] == self.levels[place][0] for place in others)

    def _effects(self, place: int) -> Iterator[Contrast]:
        for context in self._contexts(place):
            at_baseline = self._at_baseline(context, place)
            cells = [_replaced(context, {place: value}) for value in self.levels[place]]
            before, *others = [cell for cell in cells if cell in self.present]
            for after in others:
                weights = {after: 1.0, before: -1.0}
                yield Contrast(EFFECT, self.keys, before, after, at_baseline, weights)

    def _of_grids(self, pair: tuple[int, int]) -> Iterator[Contrast]:
        """Yield main effects and interactions of two keys wherever their grid is full."""
        values = list(product(*(self.levels[place] for place in pair)))
        for context in self._contexts(*pair):
            cells = {_replaced(context, dict(zip(pair, two, strict=True))) for two in values}
            if cells <= set(self.present):
                at_baseline = self._at_baseline(context, *pair)
                yield from self._main_effects(pair, context, at_baseline)
                yield from self._main_effects(pair[::-1], context, at_baseline)
                yield from self._interactions(pair, context, at_baseline)

    def _main_effects(
        self, pair: tuple[int, int], context: Setting, at_baseline: bool
    ) -> Iterator[Contrast]:
        """Yield the effects of the first key of a pair, averaged over the values of the second."""
        (baseline, *values), others = (self.levels[place] for place in pair)
        before = _replaced(context, {pair[0]: baseline})
        for value in values:
            after = _replaced(context, {pair[0]: value})
            signs = {value: 1 / len(others), baseline: -1 / len(others)}
            weights = self._weights(pair, context, signs, dict.fromkeys(others, 1.0))
            yield Contrast(MAIN, self.keys, before, after, at_baseline, weights)

    def _interactions(
        self, pair: tuple[int, int], context: Setting, at_baseline: bool
    ) -> Iterator[Contrast]:
        (one, *values), (other, *others) = (self.levels[place] for place in pair)
        before = _replaced(context, dict(zip(pair, (one, other), strict=True)))
        for two in product(values, others):
            after = _replaced(context, dict(zip(pair, two, strict=True)))
            signs = {two[0]: 1.0, one: -1.0}, {two[1]: 1.0, other: -1.0}
            weights = self._weights(pair, context, *signs)
            yield Contrast(INTERACTION, self.keys, before, after, at_baseline, weights)

    @staticmethod
    def _weights(
        pair: tuple[int, int],
        context: Setting,
        first: Mapping[str, float],
        second: Mapping[str, float],
    ) -> dict[Setting, float]:
        """Return the products of two keys' weights, by the settings with these values."""
        return {
            _replaced(context, dict(zip(pair, values, strict=True))): first[values[0]]
            * second[values[1]]
            for values in product(first, second)
        }


def _replaced(setting: Setting, values: Mapping[int, str]) -> Setting:
    return tuple(values.get(place, value) for place, value in enumerate(setting))


def unit_of(draws: Sequence[Draw]) -> str:
    """Return by which seed runs are paired: that of batches, if they share the other."""
    of_weights, of_batches = (len(set(seeds)) for seeds in zip(*draws, strict=True))
    return BATCH_SEED if of_weights == 1 and of_batches > 1 else SEED


def units(draws: Sequence[Draw]) -> list[int]:
    """Return of each run the seed by which it is paired."""
    place = SEEDS.index(unit_of(draws))
    return [draw[place] for draw in draws]


def differences(
    contrast: Contrast, settings: Sequence[Setting], draws: Sequence[Draw], values: np.ndarray
) -> np.ndarray:
    """Return a contrast's number for each unit, NaN where a run or its outcome is missing.

    Where a unit has several draws, one that lacks a run makes the unit's number NaN, as the mean of
    those that are left would be over other batches than that of other units. A draw of which no
    setting of the contrast has a run is none that it lacks.

    Parameters
    ----------
    contrast : Contrast
    settings : sequence of tuple
    draws : sequence of tuple of int
        Seeds of weights and batches of the runs, as `settings`.
    values : ndarray of shape (runs, outcomes)

    Returns
    -------
    ndarray of shape (units, outcomes)
        Of the units ascending.
    """
    of_runs = dict(zip(zip(settings, draws, strict=True), values, strict=True))
    missing = np.full(values.shape[1], np.nan)
    unit_of_draw = dict(zip(draws, units(draws), strict=True))
    of_units: dict[int, list[np.ndarray]] = {unit: [] for unit in sorted(unit_of_draw.values())}
    for draw, unit in unit_of_draw.items():
        cells = [of_runs.get((setting, draw), missing) for setting in contrast.weights]
        if any(cell is not missing for cell in cells):
            weighted = zip(contrast.weights.values(), cells, strict=True)
            of_units[unit].append(_sums(weight * cell for weight, cell in weighted))
    return np.array([np.mean(sums or [missing], axis=0) for sums in of_units.values()])


def _sums(terms: Iterable[np.ndarray]) -> np.ndarray:
    """Return the sums of terms, rounded once: what cancels leaves a zero, and no 1e-17."""
    columns = zip(*terms, strict=True)
    return np.array([math.fsum(one) if np.isfinite(one).all() else sum(one) for one in columns])


def summarize(sample: np.ndarray) -> dict[str, float]:
    """Return number, mean and intervals of a contrast's numbers over seeds, NaN left out.

    Parameters
    ----------
    sample : ndarray of shape (seeds,)
    """
    known = sample[np.isfinite(sample)]
    low, high = t_interval(known)
    bootstrap_low, bootstrap_high = bootstrap_interval(known)
    return {
        "pairs": len(known),
        "mean": float(np.mean(known)) if len(known) else np.nan,
        "low": low,
        "high": high,
        "bootstrap_low": bootstrap_low,
        "bootstrap_high": bootstrap_high,
    }
