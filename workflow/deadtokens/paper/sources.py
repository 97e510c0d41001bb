"""Which derived files and figures the paper is made from: paths below the folder of the results."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from deadtokens.study.figures import FIGURES, Scope
from deadtokens.study.study import Member, Study
from deadtokens.study.wanted import derived_files, drawn_figures

SHOWN = {"frozen", "causes", "path", "shares", "tensors", "initial_softmax"}  # of one experiment
READ = {"loss", "audit", "tensors", "census", "effects"}  # what these draw, the text says too


def figure_files(study: Study, experiment: str) -> dict[str, str]:
    """Return the PDFs of an experiment that the paper shows, by figure.

    Of the first experiment those of its runs; of every one with several seeds what is of the
    experiment as a whole, as of one seed the tables have all numbers.
    """
    first = experiment == next(iter(study.experiments))
    members = study.experiments[experiment].members
    seeds = len({study.runs[member.run].seed for member in members})
    return {
        figure: f"figures/{experiment}/{figure}.pdf"
        for figure in drawn_figures(study, experiment)
        if (first and figure in SHOWN) or (FIGURES[figure].scope is Scope.EXPERIMENT and seeds > 1)
    }


def paper_figures(study: Study) -> list[str]:
    """Return all PDFs that the paper shows."""
    return [file for name in study.experiments for file in figure_files(study, name).values()]


def paper_sources(study: Study) -> dict[str, Member]:
    """Return the derived files that the paper reads or whose figures it shows, each once.

    They are those of which something is drawn: the paper has nothing measured for itself.
    """
    found: dict[str, Member] = {}
    for name in study.experiments:
        shown = figure_files(study, name)
        for figure in drawn_figures(study, name):
            if figure in READ or figure in shown:
                found = derived_files(study, FIGURES[figure], name) | found
    return found


def called(name: str, files: Iterable[str]) -> list[str]:
    """Return those of some files that have a name."""
    return [file for file in files if PurePosixPath(file).name == name]
