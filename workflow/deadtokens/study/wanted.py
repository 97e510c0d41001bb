"""Which files an experiment's figures are drawn from: paths below the folder of the results."""

from collections.abc import Iterator, Sequence

from deadtokens.study.figures import FIGURES, Scope, Source
from deadtokens.study.study import Member, Study

# Where the derived files of each scope lie, and of how many of an experiment's members.
FOLDERS = {
    Scope.RUNS: ("runs/{run}/steps-{steps}", None),
    Scope.FIRST_RUN: ("runs/{run}", 1),
    Scope.FIRST_BENCHMARK: ("benchmarks/{run}", 1),
    Scope.VOCABULARIES: ("vocabularies/{vocabulary}", None),
}


def derived_files(study: Study, source: Source, members: Sequence[Member]) -> dict[str, Member]:
    """Return the derived files of an experiment's members, if their records give the tensor.

    Returns
    -------
    dict of str to Member
        Each path, and the first member whose file it is.
    """
    folder, number = FOLDERS[source.scope]
    files: dict[str, Member] = {}
    for member in members[:number]:
        spec = study.runs[member.run]
        if source.tensor in spec.record.readable:
            path = folder.format(**vars(member), vocabulary=spec.vocabulary)
            files.setdefault(f"{path}/{source.file}", member)
    return files


def drawn_figures(study: Study, experiment: str) -> Iterator[str]:
    """Yield the figures of an experiment: those asked for that its record gives."""
    wanted = study.experiments[experiment]
    for figure, source in FIGURES.items():
        if wanted.draws(figure) and derived_files(study, source, wanted.members):
            yield figure
