"""What changing one setting does: contrasts between runs, paired by seed.

A contrast is a sum of settings' outcomes with weights that sum to zero, taken for each seed apart;
the seeds' numbers are its sample. An *effect* holds a value of one key against its baseline, all
else equal. Where two keys are varied over a full grid, a *main effect* is the mean of the first's
effects over all values of the second, and an *interaction* how much an effect of the first differs
between a value of the second and its baseline.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product

import numpy as np

from deadtokens.comparison.bootstrap import bootstrap_interval
from deadtokens.comparison.intervals import t_interval
from deadtokens.comparison.settings import named_value, short, written
from deadtokens.comparison.shapes import EFFECT, INTERACTION, MAIN
from deadtokens.run.factors import FACTORS, factor_values
from deadtokens.run.spec import DEFAULTS, flat

Setting = tuple[str, ...]
BETWEEN = " x "  # two keys of an interaction
BASELINES = flat(DEFAULTS) | factor_values(DEFAULTS.precision, FACTORS)


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of settings.

    Attributes
    ----------
    kind : {'effect', 'main effect', 'interaction'}
    changed_key, changed_to, changed_from : str
        What is changed, to what, from which baseline; of an interaction both keys.
    context : str
        The other settings that differ within the experiment, as they are here.
    at_baseline : bool
        Whether they are at their baselines.
    weights : dict of tuple to float
        By the values of the varied keys.
    """

    kind: str
    changed_key: str
    changed_to: str
    changed_from: str
    context: str
    at_baseline: bool
    weights: Mapping[Setting, float]

    @property
    def label(self) -> str:
        """What a figure calls it."""
        changed = f"{self.changed_to} against {self.changed_from}"
        about = {
            EFFECT: named_value(self.changed_key, changed),
            MAIN: f"mean of {named_value(self.changed_key, changed)}",
            INTERACTION: f"{short(self.changed_key)}: {changed}",
        }[self.kind]
        return f"{about} ({self.context})" if self.context else about


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

    def _about(self, context: Setting, *places: int) -> tuple[str, bool]:
        """Write the settings of a context, and tell whether they are at their baselines.

        Those of the keys left open count for neither.
        """
        others = [place for place in range(len(self.keys)) if place not in places]
        words = ", ".join(named_value(self.keys[place], context[place]) for place in others)
        return words, all(context[place] == self.levels[place][0] for place in others)

    def _effects(self, place: int) -> Iterator[Contrast]:
        key = self.keys[place]
        for context in self._contexts(place):
            about = self._about(context, place)
            cells = {value: _replaced(context, {place: value}) for value in self.levels[place]}
            baseline, *values = [value for value, cell in cells.items() if cell in self.present]
            for value in values:
                weights = {cells[value]: 1.0, cells[baseline]: -1.0}
                yield Contrast(EFFECT, key, value, baseline, *about, weights)

    def _of_grids(self, pair: tuple[int, int]) -> Iterator[Contrast]:
        """Yield main effects and interactions of two keys wherever their grid is full."""
        values = list(product(*(self.levels[place] for place in pair)))
        for context in self._contexts(*pair):
            cells = {_replaced(context, dict(zip(pair, two, strict=True))) for two in values}
            if cells <= set(self.present):
                about = self._about(context, *pair)
                yield from self._main_effects(pair, context, about)
                yield from self._main_effects(pair[::-1], context, about)
                yield from self._interactions(pair, context, about)

    def _main_effects(
        self, pair: tuple[int, int], context: Setting, about: tuple[str, bool]
    ) -> Iterator[Contrast]:
        """Yield the effects of the first key of a pair, averaged over the values of the second."""
        (baseline, *values), others = (self.levels[place] for place in pair)
        key, other = (self.keys[place] for place in pair)
        words, at_baseline = about
        averaged = ", ".join(filter(None, (f"over {short(other)}", words)))
        for value in values:
            signs = {value: 1 / len(others), baseline: -1 / len(others)}
            weights = self._weights(pair, context, signs, dict.fromkeys(others, 1.0))
            yield Contrast(MAIN, key, value, baseline, averaged, at_baseline, weights)

    def _interactions(
        self, pair: tuple[int, int], context: Setting, about: tuple[str, bool]
    ) -> Iterator[Contrast]:
        keys = BETWEEN.join(self.keys[place] for place in pair)
        (one, *values), (other, *others) = (self.levels[place] for place in pair)
        for value, beside in product(values, others):
            signs = {value: 1.0, one: -1.0}, {beside: 1.0, other: -1.0}
            weights = self._weights(pair, context, *signs)
            yield Contrast(
                INTERACTION, keys, f"{value}, {beside}", f"{one}, {other}", *about, weights
            )

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


def differences(
    contrast: Contrast,
    settings: Sequence[Setting],
    seeds: Sequence[int],
    values: np.ndarray,
    paired: Sequence[int],
) -> np.ndarray:
    """Return a contrast's number for each seed, NaN where a run or its outcome is missing.

    Parameters
    ----------
    contrast : Contrast
    settings : sequence of tuple
    seeds : sequence of int
        Of the runs, as `settings`.
    values : ndarray of shape (runs, outcomes)
    paired : sequence of int
        The seeds asked for.

    Returns
    -------
    ndarray of shape (seeds, outcomes)
    """
    row = {cell: place for place, cell in enumerate(zip(settings, seeds, strict=True))}
    missing = np.full(values.shape[1], np.nan)
    return np.array(
        [
            sum(
                weight * (values[row[cell, seed]] if (cell, seed) in row else missing)
                for cell, weight in contrast.weights.items()
            )
            for seed in paired
        ]
    ).reshape(len(paired), values.shape[1])


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
