"""Which files an experiment's figures are drawn from: paths below the folder of the results."""

from collections.abc import Sequence
from functools import cache

from deadtokens.comparison.shapes import Varied
from deadtokens.errors import UserError
from deadtokens.run.factors import factored
from deadtokens.run.spec import flat
from deadtokens.run.tensors import readable
from deadtokens.study.figures import FIGURES, Scope, Source
from deadtokens.study.study import Member, Study

# Where the derived files of each scope lie, and of how many of an experiment's members.
FOLDERS = {
    Scope.RUNS: ("runs/{run}/steps-{steps}", None),
    Scope.FIRST_RUN: ("runs/{run}", 1),
    Scope.FIRST_BENCHMARK: ("benchmarks/{run}", 1),
    Scope.VOCABULARIES: ("vocabularies/{vocabulary}", None),
    Scope.EXPERIMENT: ("experiments/{experiment}", 1),
}


def derived_files(
    study: Study, source: Source, experiment: str, most: int | None = None
) -> dict[str, Member]:
    """Return the derived files of an experiment, of members whose records give the tensor.

    Of the first `most` members, if that is given.

    Returns
    -------
    dict of str to Member
        Each path, and the first member whose file it is.
    """
    folder, number = FOLDERS[source.scope]
    files: dict[str, Member] = {}
    for member in study.experiments[experiment].members[: most or number]:
        if source.tensor in _tensors(study, member.run):
            vocabulary = study.runs[member.run].vocabulary
            names = {"vocabulary": vocabulary, "experiment": experiment}
            path = folder.format(**vars(member), **names)
            files.setdefault(f"{path}/{source.file}", member)
    return files


@cache
def _tensors(study: Study, run: str) -> list[str]:
    """Return the tensors that the record of a run gives."""
    return readable(study.runs[run])


def recorded_files(study: Study, source: Source, experiment: str) -> dict[str, str]:
    """Return the derived files of an experiment's recordings, of those that can give them.

    Returns
    -------
    dict of str to str
        Each path, and the recording's name.
    """
    if source.scope is not Scope.RUNS:
        return {}
    return {
        f"recorded/{name}/{source.file}": name
        for name in study.experiments[experiment].recordings
        if not study.recordings[name].why_not(source.file, source.quantity)
    }


def lacking_recordings(study: Study, source: Source, experiment: str) -> list[str]:
    """Return the recordings of an experiment that are not drawn where its runs are."""
    recordings = study.experiments[experiment].recordings if source.scope is Scope.RUNS else ()
    given = recorded_files(study, source, experiment).values()
    return [name for name in recordings if name not in given]


def drawn_files(study: Study, source: Source, experiment: str) -> list[str]:
    """Return what a figure of an experiment is drawn from: of its runs, then of its recordings."""
    places = derived_files, recorded_files
    return [path for files in places for path in files(study, source, experiment)]


@cache
def varied(study: Study, experiment: str) -> Varied:
    """Return what an experiment varies, as its outcomes will have it."""
    asked = study.experiments[experiment]
    settings = [flat(study.runs[one.run]) | {"steps": one.steps} for one in asked.members]
    return Varied.of([factored(run, asked.factors) for run in settings])


@cache
def drawn_figures(study: Study, experiment: str) -> tuple[str, ...]:
    """Return the figures of an experiment: those asked for that it can have."""
    asked = filter(study.experiments[experiment].draws, FIGURES)
    return tuple(figure for figure in asked if not why_not(study, experiment, figure))


def is_compared(study: Study, experiment: str) -> bool:
    """Return whether a figure is drawn of all runs of an experiment together."""
    figures = drawn_figures(study, experiment)
    return any(FIGURES[figure].scope is Scope.EXPERIMENT for figure in figures)


def why_not(study: Study, experiment: str, figure: str) -> str:
    """Say why an experiment cannot have a figure; nothing if it can."""
    source, asked = FIGURES[figure], study.experiments[experiment]
    if not drawn_files(study, source, experiment):
        if asked.recordings and not asked.members:
            return f"{figure!r} cannot be drawn: {_lacking(study, source, asked.recordings)}"
        return (
            f"{figure!r} is drawn from the gradients, which no run of the experiment records; add "
            "'grad' to record.tensors"
        )
    if not source.shape.fits(varied(study, experiment)):
        return f"{figure!r} needs an experiment that varies {source.shape.needs}"
    return ""


def _lacking(study: Study, source: Source, recordings: Sequence[str]) -> str:
    """Say why none of an experiment's recordings gives a figure."""
    if source.scope is not Scope.RUNS:
        return "it is of runs of the study, and the experiment has recordings alone"
    needed = source.file, source.quantity
    return "; ".join(f"{name}: {study.recordings[name].why_not(*needed)}" for name in recordings)


def check_figures(study: Study) -> None:
    """Refuse figures that an experiment asks for by name and cannot have.

    Raises
    ------
    UserError
        One sentence for each.
    """
    refused = [
        f"experiments.{name}.figures: {why}"
        for name, experiment in study.experiments.items()
        for figure in FIGURES
        if figure in (experiment.figures or ()) and (why := why_not(study, name, figure))
    ]
    if refused:
        raise UserError("\n".join(refused))
