"""Numbers by seed: what a claim is held against."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from deadtokens.comparison.intervals import t_interval

DIVERGED = "diverged"  # the outcome that is 1 of a run that did
BY_ZERO = "the number by which it is divided is zero"


class NotTested(Exception):
    """Why a claim cannot be tested, in words that follow 'not tested:'."""


@dataclass(frozen=True)
class Entry:
    """A number of one run, or of the runs that share a seed.

    Attributes
    ----------
    seed : int
    number : float
        NaN: see `reason`.
    reason : str
    diverged : bool
        Whether the run diverged; of several, all that have no number.
    """

    seed: int
    number: float
    reason: str = ""
    diverged: bool = False


@dataclass(frozen=True)
class Sample:
    """The numbers of which a claim speaks.

    Attributes
    ----------
    entries : sequence of Entry
    runs : int
        From which they come.
    """

    entries: Sequence[Entry]
    runs: int

    @property
    def numbers(self) -> np.ndarray:
        """The numbers, NaN where there is none."""
        return np.array([entry.number for entry in self.entries], float)

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len({entry.seed for entry in self.entries})

    @property
    def mean(self) -> float:
        """The mean of the numbers."""
        return float(np.mean(self.numbers))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean over seeds; NaN of one seed, or of several runs a seed."""
        of_seeds = len(self.entries) == self.seeds
        return t_interval(self.numbers) if of_seeds else (np.nan, np.nan)


def entries_of_runs(data: xr.Dataset, outcome: str) -> list[Entry]:
    """Return an outcome of each run of an experiment.

    Parameters
    ----------
    data : Dataset
        Outcomes of the experiment.
    outcome : str
    """
    of_runs = data.sel(outcome=outcome)
    diverged = data["value"].sel(outcome=DIVERGED) == 1
    columns = data["seed"], of_runs["value"], of_runs["reason"], diverged
    return [Entry(*row) for row in zip(*(one.values.tolist() for one in columns), strict=True)]


def ratios(above: Sequence[Entry], below: Sequence[Entry]) -> Sample:
    """Return the ratio of two settings' numbers for each seed that both have.

    Raises
    ------
    NotTested
        If they share no seed.
    """
    divisors = {entry.seed: entry for entry in below}
    pairs = [(entry, divisors[entry.seed]) for entry in above if entry.seed in divisors]
    if not pairs:
        raise NotTested("the runs to compare share no seed")
    return Sample([_quotient(one, other) for one, other in pairs], 2 * len(pairs))


def _quotient(one: Entry, other: Entry) -> Entry:
    without = deciding([one, other])
    if without is not None:
        return Entry(one.seed, np.nan, without.reason, without.diverged)
    if other.number == 0:
        return Entry(one.seed, np.nan, BY_ZERO, other.diverged)
    return Entry(one.seed, one.number / other.number)


def deciding(entries: Sequence[Entry]) -> Entry | None:
    """Return the first entry without a number of a run that did not diverge, else of one that did.

    `None` if all have their numbers.
    """
    without = [entry for entry in entries if not np.isfinite(entry.number)]
    return min(without, key=lambda entry: entry.diverged, default=None)


def refuse_several_runs_a_seed(entries: Sequence[Entry]) -> None:
    """Raise `NotTested` if runs with the same seed differ in what a claim leaves open."""
    seeds = [entry.seed for entry in entries]
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise NotTested(f"several runs of seed {repeated[0]} have the settings that it names")
