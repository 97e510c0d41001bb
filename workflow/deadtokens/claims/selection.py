"""The numbers of which a claim speaks, out of the study's derived files."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.claims.contrasts import of_effect
from deadtokens.claims.reduction import open_file, reduce
from deadtokens.claims.sample import (
    Entry,
    NotTested,
    Sample,
    entries_of_runs,
    ratios,
    refuse_several_runs_a_seed,
)
from deadtokens.comparison.effects import units
from deadtokens.comparison.settings import seeds_of, written
from deadtokens.errors import UserError
from deadtokens.study.claims import Claim, Effect, Value, Variable, files_with
from deadtokens.study.members import Settings, has, members_with, settings_of_member
from deadtokens.study.study import Member, Study
from deadtokens.study.validation import suggestion

OPEN = 16  # files that are kept: claims on the same ones follow each other
NO_NUMBER = "the number is not defined"


class Numbers:
    """The numbers of a study's derived files.

    Parameters
    ----------
    study : Study
    results : Path
        Folder of the results.
    """

    def __init__(self, study: Study, results: Path):
        self.study = study
        self.results = results
        self._open = lru_cache(maxsize=OPEN)(open_file)

    def sample(self, claim: Claim) -> Sample:
        """Return the numbers of which a claim speaks.

        Raises
        ------
        NotTested
            If there are none.
        UserError
            If the claim speaks of what such a file never has, or a file is damaged.
        """
        subject = claim.subject
        if subject.experiment not in self.study.experiments:
            raise NotTested(f"the experiment {subject.experiment!r} is not configured")
        if not self.study.experiments[subject.experiment].members:
            raise NotTested(f"the experiment {subject.experiment!r} has recordings alone")
        if isinstance(subject, Effect):
            return of_effect(self._outcomes(claim), subject)
        divided = subject.ratio_to is not None
        below = self._entries(claim, subject.ratio_to) if divided else None
        return combine(claim, self._entries(claim, subject.setting), below)

    def _entries(self, claim: Claim, setting: Settings) -> list[Entry]:
        if isinstance(claim.subject, Value):
            data = self._outcomes(claim)
            entries = outcome_entries(data, self._settings(claim, data), claim.subject, setting)
        else:
            seeds = self._seeds(claim.subject.experiment)
            entries = [
                variable_entry(self._open(self.results / file), seeds[run.member], claim.subject)
                for file, run in files_with(self.study, claim, setting).items()
            ]
        if not entries:
            raise NotTested(self._lacking(claim, setting))
        return entries

    def _seeds(self, experiment: str) -> dict[Member, int]:
        """Return of each run of an experiment the seed by which its outcomes pair it."""
        members = self.study.experiments[experiment].members
        draws = [seeds_of(settings_of_member(self.study, member)) for member in members]
        return dict(zip(members, units(draws), strict=True))

    def _lacking(self, claim: Claim, setting: Settings) -> str:
        """Say what no run has: a value, the values together, or the file."""
        experiment = claim.subject.experiment
        alone = {
            key: value
            for key, value in setting.items()
            if not members_with(self.study, experiment, {key: value})
        }
        named = ", ".join(f"{key} {written(value)}" for key, value in (alone or setting).items())
        if isinstance(claim.subject, Variable) and members_with(self.study, experiment, setting):
            return f"no run{' with ' * bool(named)}{named} has {claim.subject.file}"
        return f"the experiment has no run with {named}"

    def _outcomes(self, claim: Claim) -> xr.Dataset:
        (file,) = files_with(self.study, claim, {})
        data = self._open(self.results / file)
        known, outcome = data["outcome"].values.tolist(), claim.subject.outcome
        if outcome not in known:
            raise UserError(f"there is no outcome {outcome!r}{suggestion(outcome, known)}")
        return data

    def _settings(self, claim: Claim, data: xr.Dataset) -> list[Settings]:
        """Return the settings of the runs in outcomes: the spec's, but what varies as it is there.

        There are factors of a regime, and vocabularies by their names.
        """
        of_spec: dict[str, Settings] = {}
        for member in self.study.experiments[claim.subject.experiment].members:
            settings = settings_of_member(self.study, member)
            names = member.run, f"{member.run}, steps {member.steps}"
            of_spec |= dict.fromkeys(names, settings)
        keys = data["key"].values.tolist()
        return [
            of_spec.get(run, {}) | dict(zip(keys, values, strict=True))
            for run, values in zip(data["run"].values, data["setting"].values, strict=True)
        ]


def outcome_entries(
    data: xr.Dataset, settings: Sequence[Settings], value: Value, setting: Settings
) -> list[Entry]:
    """Return an outcome of the runs that have a setting.

    Parameters
    ----------
    data : Dataset
        Outcomes of an experiment.
    settings : sequence of dict
        Of its runs.
    value : Value
    setting : dict
    """
    entries = entries_of_runs(data, value.outcome)
    return [entry for entry, one in zip(entries, settings, strict=True) if has(one, setting)]


def variable_entry(data: xr.Dataset, seed: int, selection: Variable) -> Entry:
    """Return the number that a selection makes of a run's file."""
    number = reduce(data, selection)
    diverged = data.attrs.get("status") == "diverged"
    why = NO_NUMBER + "; the run diverged" * diverged
    return Entry(seed, number, "" if np.isfinite(number) else why, diverged)


def combine(claim: Claim, entries: Sequence[Entry], below: Sequence[Entry] | None) -> Sample:
    """Return the sample that runs make, divided seed by seed by others if there are any.

    Raises
    ------
    NotTested
        If several runs share a seed where one is meant, or the two share none.
    """
    if below is not None or claim.criterion.by != "every run":
        refuse_several_runs_a_seed(entries)
    if below is None:
        return Sample(entries, len(entries))
    refuse_several_runs_a_seed(below)
    return ratios(entries, below)
