"""Which files an experiment's figures are drawn from: paths below the folder of the results."""

from collections.abc import Iterator

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
        spec = study.runs[member.run]
        if source.tensor in readable(spec):
            names = {"vocabulary": spec.vocabulary, "experiment": experiment}
            path = folder.format(**vars(member), **names)
            files.setdefault(f"{path}/{source.file}", member)
    return files


def drawn_figures(study: Study, experiment: str) -> Iterator[str]:
    """Yield the figures of an experiment: those asked for that its record gives."""
    wanted = study.experiments[experiment]
    for figure, source in FIGURES.items():
        if wanted.draws(figure) and derived_files(study, source, experiment):
            yield figure
