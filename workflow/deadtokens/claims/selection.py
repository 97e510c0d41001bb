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
    ratios,
    refuse_several_runs_a_seed,
)
from deadtokens.errors import UserError
from deadtokens.study.claims import (
    Claim,
    Effect,
    Settings,
    Value,
    Variable,
    files_with,
    has,
    members_with,
    settings_of_member,
)
from deadtokens.study.study import Study
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
        if isinstance(subject, Effect):
            return of_effect(self._outcomes(claim, subject.outcome), subject)
        entries = self._entries(claim, subject.setting)
        if claim.criterion.by != "every run" or subject.ratio_to is not None:
            refuse_several_runs_a_seed(entries)
        if subject.ratio_to is None:
            return Sample(entries, len(entries))
        below = self._entries(claim, subject.ratio_to)
        refuse_several_runs_a_seed(below)
        return ratios(entries, below)

    def _entries(self, claim: Claim, setting: Settings) -> list[Entry]:
        of_kind = {Value: self._of_value, Variable: self._of_variable}[type(claim.subject)]
        entries = of_kind(claim, setting)
        if not entries:
            raise NotTested(f"the experiment has no run with {self._lacking(claim, setting)}")
        return entries

    def _lacking(self, claim: Claim, setting: Settings) -> str:
        """Name what no run has, or the whole setting if it is the combination that none has."""
        experiment = claim.subject.experiment
        alone = {
            key: value
            for key, value in setting.items()
            if not members_with(self.study, experiment, {key: value})
        }
        named = ", ".join(f"{key} {value}" for key, value in (alone or setting).items())
        return named or "such a record"

    def _of_variable(self, claim: Claim, setting: Settings) -> list[Entry]:
        entries = []
        for file, run in files_with(self.study, claim, setting).items():
            data = self._open(self.results / file)
            number = reduce(data, claim.subject)
            reason = "" if np.isfinite(number) else _why(data)
            entries.append(Entry(run.settings["seed"], number, reason))
        return entries

    def _of_value(self, claim: Claim, setting: Settings) -> list[Entry]:
        data = self._outcomes(claim, claim.subject.outcome).sel(outcome=claim.subject.outcome)
        entries = []
        for place, settings in enumerate(self._settings(claim, data)):
            if has(settings, setting):
                run = data.isel(run=place)
                number, reason = float(run["value"]), str(run["reason"].values)
                entries.append(Entry(int(run["seed"]), number, reason))
        return entries

    def _outcomes(self, claim: Claim, outcome: str) -> xr.Dataset:
        (file,) = files_with(self.study, claim, {})
        data = self._open(self.results / file)
        known = data["outcome"].values.tolist()
        if outcome not in known:
            raise UserError(
                f"a claim speaks of the outcome {outcome!r}{suggestion(outcome, known)}"
            )
        return data

    def _settings(self, claim: Claim, data: xr.Dataset) -> Sequence[Settings]:
        """Return the settings of the runs in outcomes: the spec's, and factors of a regime."""
        members = self.study.experiments[claim.subject.experiment].members
        of_spec = {}
        for member in members:
            settings = settings_of_member(self.study, member)
            of_spec |= dict.fromkeys((member.run, f"{member.run}, steps {member.steps}"), settings)
        keys = data["key"].values.tolist()
        varied = [
            dict(zip(keys, values, strict=True)) for values in data["setting"].values.tolist()
        ]
        return [
            own | of_spec.get(run, {})
            for run, own in zip(data["run"].values.tolist(), varied, strict=True)
        ]


def _why(data: xr.Dataset) -> str:
    return NO_NUMBER + "; the run diverged" * (data.attrs.get("status") == "diverged")
