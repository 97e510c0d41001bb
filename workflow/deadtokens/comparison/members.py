"""The runs of an experiment: what their derived files say, gathered by run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from deadtokens.comparison.measures import FILES, OUTCOMES, measure
from deadtokens.comparison.settings import (
    as_called,
    named,
    named_seeds,
    seeds_of,
    settings_of,
    varying,
    written,
)
from deadtokens.comparison.shapes import PRECISION, Varied
from deadtokens.errors import UserError
from deadtokens.identity import claim_of, content_of
from deadtokens.netcdf import read_derived
from deadtokens.run.factors import factored, refuse_alike
from deadtokens.run.spec import DEFAULTS, flat

STEPS = "steps"
NEEDED = ("run", "spec", "status", "updates")


@dataclass(frozen=True)
class Member:
    """A run of an experiment, as far as its derived files go.

    Attributes
    ----------
    run : str
        Its identity.
    spec : dict
        Its settings by flat key, ``steps`` among them; one that its file lacks is the package's
        default, as keys that came later are left out where they change nothing.
    found : dict of str to (float, str)
        Outcomes that its files say: numbers, and why there is none.
    """

    run: str
    spec: Mapping[str, Any]
    found: Mapping[str, tuple[float, str]]

    def outcome(self, name: str) -> tuple[float, str]:
        """Return an outcome and an empty text, or NaN and why there is none."""
        return self.found.get(name, (np.nan, f"no {OUTCOMES[name].file} of the run"))


@dataclass(frozen=True)
class Experiment:
    """Runs that are compared.

    Attributes
    ----------
    members : tuple of Member
    factors : tuple of str
        Fields of the precision regime that tell runs apart in place of its name.
    """

    members: tuple[Member, ...]
    factors: tuple[str, ...] = ()

    @cached_property
    def varied(self) -> Varied:
        """In what they differ, the seeds left aside."""
        return Varied.of([self.settings(member) for member in self.members])

    def settings(self, member: Member) -> dict[str, Any]:
        """Return the settings by which a run is told from others."""
        return factored(member.spec, self.factors)

    def draws(self) -> list[tuple[int, int]]:
        """Return the seeds of each run: of its weights, and of its batches."""
        return [seeds_of(member.spec) for member in self.members]

    @cached_property
    def varying(self) -> list[str]:
        """The keys whose values differ, seeds among them."""
        return varying([member.spec for member in self.members])

    def label(self, member: Member) -> str:
        """Return what tells a run from the others, with the seeds if they differ."""
        seeds = named_seeds(member.spec, self.varying)
        return ", ".join(filter(None, (self.group(member), seeds)))

    def group(self, member: Member) -> str:
        """Return what tells a run from the others, the seeds left aside."""
        settings = self.settings(member)
        told_apart = ", ".join(named(key, settings) for key in self.varied.keys)
        return told_apart or written(member.spec.get(PRECISION, member.run))

    def names(self) -> list[str]:
        """Return the members' identities, with the steps where one run is given at several."""
        runs = [member.run for member in self.members]
        if len(set(runs)) == len(runs):
            return runs
        return [f"{member.run}, steps {member.spec[STEPS]}" for member in self.members]

    def outcomes(self) -> np.ndarray:
        """Return the numbers, float64 of shape (members, outcomes)."""
        return np.array([[one.outcome(name)[0] for name in OUTCOMES] for one in self.members])


def read_experiment(
    paths: Sequence[Path],
    factors: Sequence[str] = (),
    called: Mapping[str, str] = MappingProxyType({}),
) -> Experiment:
    """Read derived files of the runs of an experiment, each file as it is measured and forgotten.

    Parameters
    ----------
    paths : sequence of Path
        Of names in `FILES`, or folders, each of which stands for those of its files that have such
        names; runs come in the order in which they are first met.
    factors : sequence of str
        Fields of the precision regime that stand in place of its name.
    called : mapping of str to str
        What vocabularies are called, by identity.

    Raises
    ------
    UserError
        If a file is missing, damaged, of another kind, or given twice, or if the factors do not
        tell two regimes apart.
    """
    found: dict[tuple[str, int], dict] = {}
    specs: dict[tuple[str, int], dict] = {}
    for path in chain.from_iterable(map(_files, paths)):
        data = _open(path)
        member = data.attrs["run"], _steps(path, data)
        spec = content_of(path, data.attrs["spec"])
        specs[member] = as_called(settings_of(spec, flat(DEFAULTS)), called) | {STEPS: member[1]}
        known = found.setdefault(member, {})
        outcomes = _measure(path, data)
        if known.keys() & outcomes.keys():
            raise UserError(f"{path}: {path.name} of run {member[0]} is given twice; name it once")
        known |= outcomes
    refuse_alike((spec[PRECISION] for spec in specs.values()), factors)
    members = (Member(run, specs[run, steps], found[run, steps]) for run, steps in found)
    return Experiment(tuple(members), tuple(factors))


def _files(path: Path) -> list[Path]:
    """Return a file itself, or those files of a folder that outcomes are read from."""
    if not path.is_dir():
        return [path]
    files = [path / name for name in FILES if (path / name).exists()]
    if not files:
        raise UserError(f"{path}: has none of {', '.join(FILES)}")
    return files


def _open(path: Path) -> xr.Dataset:
    if path.name not in FILES:
        raise UserError(f"{path}: outcomes are read from {', '.join(FILES)}, and this is none")
    data = read_derived(path)
    lacking = [name for name in NEEDED if name not in data.attrs]
    if lacking:
        raise UserError(f"{path}: does not say its {', '.join(lacking)}; make it again")
    return data


def _steps(path: Path, data: xr.Dataset) -> int:
    """Return how many updates were asked for: by the folder, as a run that diverged has fewer."""
    claim = claim_of(path)
    return int(data.attrs["updates"]) if claim is None or claim.steps is None else claim.steps


def _measure(path: Path, data: xr.Dataset) -> dict[str, tuple[float, str]]:
    try:
        return measure(path.name, data)
    except KeyError as error:
        raise UserError(f"{path}: has no {error}; make it again") from None
