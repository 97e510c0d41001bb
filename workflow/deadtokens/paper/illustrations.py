"""The figures of the paper, by question, with their captions."""

import importlib

from deadtokens.paper.sources import figure_files
from deadtokens.study.figures import FIGURES, QUESTIONS
from deadtokens.study.study import Study

LONGEST_CAPTION = 520  # characters, unless the first sentence is longer


def illustrations(study: Study) -> dict[str, list[dict[str, str]]]:
    """Return the figures that the paper shows, by question."""
    found: dict[str, list[dict[str, str]]] = {str(question): [] for question in QUESTIONS}
    for experiment, resolved in study.experiments.items():
        for figure, file in figure_files(study, experiment).items():
            about = {"file": file, "title": resolved.title, "caption": caption(figure)}
            found[str(FIGURES[figure].question)].append(about)
    return found


def caption(figure: str) -> str:
    """Return the beginning of what a figure's module says of it, in whole sentences."""
    text = importlib.import_module(f"deadtokens.figures.{figure}").__doc__
    first, *others = " ".join(text.replace("``", "").split()).split(". ")
    for sentence in others:
        if len(first) + len(sentence) > LONGEST_CAPTION:
            break
        first += f". {sentence}"
    return first.rstrip(".") + "."
