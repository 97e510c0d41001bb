"""All that is derived for a study, for its figures and for what is claimed of it."""

from collections.abc import Collection, Iterator, Mapping

from deadtokens.study.claims import Claim, claimed_files
from deadtokens.study.figures import ANIMATION, FIGURES, OUTCOME_SOURCES, SCALARS, Scope, Source
from deadtokens.study.models import censuses
from deadtokens.study.study import Member, Study
from deadtokens.study.wanted import derived_files, drawn_figures, recorded_files

FROM_RECORDS = {Scope.RUNS, Scope.FIRST_BENCHMARK}

Files = tuple[Source, Mapping[str, Member]]


def needed_files(study: Study, experiment: str, claims: Collection[Claim] = ()) -> Iterator[Files]:
    """Yield the derived files that an experiment's figures and claims on it need, by source.

    And what the paper reads of the runs of an experiment that is drawn.
    """
    drawn = list(drawn_figures(study, experiment))
    if drawn:
        yield SCALARS, derived_files(study, SCALARS, experiment)
    for figure in drawn:
        yield from _with_outcomes(study, FIGURES[figure], experiment)
    if study.experiments[experiment].draws(ANIMATION):
        yield FIGURES["path"], derived_files(study, FIGURES["path"], experiment, 1)
    for claim in claims:
        if claim.subject.experiment == experiment:
            yield from _with_outcomes(study, claim.source_file, experiment, claim)


def _with_outcomes(
    study: Study, source: Source, experiment: str, claim: Claim | None = None
) -> Iterator[Files]:
    """Yield a source's files, of outcomes also those of which they are made."""
    if source.scope is Scope.EXPERIMENT:
        for one in OUTCOME_SOURCES:
            yield one, derived_files(study, one, experiment)
    if claim is None:
        yield source, derived_files(study, source, experiment)
    else:
        yield source, claimed_files(study, [claim])


def needed_of_recordings(study: Study, experiment: str) -> dict[str, tuple[Source, str]]:
    """Return the derived files of an experiment's recordings that its figures and the paper need.

    The paper says how each replays.

    Returns
    -------
    dict of str to (Source, str)
        By path, the source and the recording's name.
    """
    figures = ("audit", *drawn_figures(study, experiment))
    sources = [FIGURES[figure] for figure in figures]
    if study.experiments[experiment].draws(ANIMATION):
        sources.append(FIGURES["path"])
    return {
        path: (source, name)
        for source in sources
        for path, name in recorded_files(study, source, experiment).items()
    }


def read_from_records(study: Study, claims: Collection[Claim] = ()) -> dict[str, list[str]]:
    """Return the derived files that are read from the record of each run of which there are any."""
    files: dict[str, set[str]] = {}
    for experiment in study.experiments:
        for source, paths in needed_files(study, experiment, claims):
            if source.scope in FROM_RECORDS:
                for path, member in paths.items():
                    files.setdefault(member.run, set()).add(path)
    for path, model in censuses(study).items():
        if model.member:
            files.setdefault(model.member.run, set()).add(path)
    return {run: sorted(paths) for run, paths in files.items()}
