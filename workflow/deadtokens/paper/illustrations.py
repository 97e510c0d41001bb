"""The figures of the paper, by question, with their captions."""

from pathlib import Path

from PIL import Image

from deadtokens.paper.sources import figure_files, is_of_recordings
from deadtokens.study.captions import caption_of
from deadtokens.study.figures import FIGURES, QUESTIONS, Scope
from deadtokens.study.study import Study

LONGEST_CAPTION = 520  # characters, unless the first sentence is longer
TALLEST = 1.65  # height over width: a taller figure would be too small on a page


def illustrations(study: Study, results: Path) -> dict[str, list[dict[str, str]]]:
    """Return the figures that the paper shows: by question those of runs, by experiment the others.

    By experiment, too, are those of recordings alone.

    A figure so tall that nobody could read it on a page is left out. Each has a name, and that of
    the first of its kind: the caption is the same.
    """
    found: dict[str, list[dict[str, str]]] = {str(question): [] for question in QUESTIONS}
    found |= {name: [] for name in study.experiments}
    first: dict[str, str] = {}
    for experiment, resolved in study.experiments.items():
        for figure, file in figure_files(study, experiment).items():
            if shown := illustration(results, file, figure, experiment):
                of_all = FIGURES[figure].scope is Scope.EXPERIMENT
                of_all |= is_of_recordings(study, experiment)
                place = experiment if of_all else str(FIGURES[figure].question)
                about = {"title": resolved.title, "like": first.get(figure, "")}
                first.setdefault(figure, shown["name"])
                found[place].append(shown | about)
    return found


def illustration(results: Path, file: str, figure: str, of: str) -> dict[str, str] | None:
    """Return a figure as the paper shows it, by a name that tells whose it is.

    Nothing, if it is too tall to be read on a page.
    """
    if not _is_legible((results / file).with_suffix(".png")):
        return None
    name = f"{of}-{figure}"
    return {"file": file, "name": name, "caption": caption(figure), "title": "", "like": ""}


def _is_legible(png: Path) -> bool:
    with Image.open(png) as image:
        return image.height <= TALLEST * image.width


def caption(figure: str) -> str:
    """Return the beginning of what a figure's module says of it, in whole sentences."""
    first, *others = " ".join(caption_of(figure).split()).split(". ")
    for sentence in others:
        if len(first) + len(sentence) > LONGEST_CAPTION:
            break
        first += f". {sentence}"
    return first.rstrip(".") + "."
