"""Which derived files and figures the paper is made from: paths below the folder of the results."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from deadtokens.comparison.settings import seeds_of
from deadtokens.errors import UserError
from deadtokens.study.figures import FIGURES, SCALARS
from deadtokens.study.models import censuses
from deadtokens.study.study import Member, Study
from deadtokens.study.wanted import derived_files, drawn_figures, recorded_files

SHOWN = {"frozen", "causes", "path", "shares", "tensors", "initial_softmax"}  # of one experiment
# Of the experiments as wholes: the first that is drawn shows most of what the experiment varies.
OF_EXPERIMENTS = ("walls", "remedies", "sweep", "factorial", "outcomes", "effects")
CLOUDS = "matrix_cloud"  # of all matrices of models
READ = {"audit", "tensors", "census", "effects"}  # what these draw, the text says too


def figure_files(study: Study, experiment: str) -> dict[str, str]:
    """Return the PDFs of an experiment that the paper shows, by figure.

    Of the first experiment, and of those of recordings alone, those of its runs; of every one with
    several seeds one of the experiment as a whole, as of one seed the tables have all numbers.
    """
    drawn = list(drawn_figures(study, experiment))
    in_depth = is_of_recordings(study, experiment) or experiment == first_experiment(study)
    shown = [figure for figure in drawn if figure in SHOWN and in_depth]
    if _has_several_seeds(study, experiment):
        shown += [figure for figure in OF_EXPERIMENTS if figure in drawn][:1]
    return {figure: f"figures/{experiment}/{figure}.pdf" for figure in shown}


def first_experiment(study: Study) -> str:
    """Return the first experiment that has runs, whose figures the paper shows.

    Raises
    ------
    UserError
        If there is none.
    """
    for name, experiment in study.experiments.items():
        if experiment.members:
            return name
    raise UserError(
        "the paper is of runs, and the study has recordings alone; `deadtokens analyse` writes a "
        "page of a recording"
    )


def is_of_recordings(study: Study, experiment: str) -> bool:
    """Return whether an experiment has recordings, and no runs of its own."""
    return not study.experiments[experiment].members


def _has_several_seeds(study: Study, experiment: str) -> bool:
    members = study.experiments[experiment].members
    return len({seeds_of(vars(study.runs[member.run])) for member in members}) > 1


def paper_figures(study: Study) -> list[str]:
    """Return all PDFs that the paper shows."""
    of_experiments = [
        file for name in study.experiments for file in figure_files(study, name).values()
    ]
    return of_experiments + ([cloud_figure(study)] if study.examined else [])


def cloud_figure(study: Study) -> str:
    """Return the PDF of the clouds of all matrices that are examined, of which there are some."""
    folders = [file.removesuffix("/census.nc") for file in censuses(study)]
    return f"{folders[0] if len(folders) == 1 else 'models'}/{CLOUDS}.pdf"


def paper_sources(study: Study) -> dict[str, Member]:
    """Return the derived files of runs that the paper reads or whose figures it shows, each once.

    They are those of which something is drawn, and of these runs the scalars.
    """
    found: dict[str, Member] = {}
    for name in study.experiments:
        shown, drawn = figure_files(study, name), list(drawn_figures(study, name))
        if drawn:
            found = derived_files(study, SCALARS, name) | found
        for figure in drawn:
            if figure in READ or figure in shown:
                found = derived_files(study, FIGURES[figure], name) | found
    return found


def recording_sources(study: Study) -> list[str]:
    """Return the same of recordings: of each how it replays, if it can be replayed."""
    found: dict[str, str] = {}
    for name in study.experiments:
        shown = [FIGURES[figure] for figure in figure_files(study, name)]
        for source in (FIGURES["audit"], *shown):
            found |= recorded_files(study, source, name)
    return list(found)


def called(name: str, files: Iterable[str]) -> list[str]:
    """Return those of some files that have a name."""
    return [file for file in files if PurePosixPath(file).name == name]
