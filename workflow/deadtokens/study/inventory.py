"""Every file that a study makes: its stage, and what it is expected to take."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from deadtokens.run import layout
from deadtokens.study.claims import Claim
from deadtokens.study.estimates import (
    ANALYSES,
    BENCHMARK_UPDATES,
    CORPUS_SECONDS,
    FETCH_SECONDS,
    FIGURE_BYTES,
    FIGURE_SECONDS,
    analysis_bytes,
    analysis_seconds,
    bytes_of_recording,
    encoding_seconds,
    examination_bytes,
    examination_seconds,
    seconds_of_recording,
    training_seconds,
    vocabulary_bytes,
)
from deadtokens.study.figures import ANIMATION, CLOUDS, OF_CENSUSES, Scope
from deadtokens.study.models import censuses, models_of
from deadtokens.study.needed import needed_files, needed_of_recordings
from deadtokens.study.study import Member, Study
from deadtokens.study.wanted import drawn_figures
from deadtokens.training.size import checkpoint_bytes, predicted_bytes

STAGES = ("text", "training", *ANALYSES, "models", "figures")


class File(NamedTuple):
    """A file that a study makes.

    Attributes
    ----------
    path : str
        Below the folder of the results.
    stage : str
        One of `STAGES`.
    bytes : int
    seconds : float
        CPU time in which a typical core makes it.
    run : str
        The run that it is of, '' if it is not of one.
    updates : int
        Updates that it records: of a segment; else 0.
    sealed : bool
        Whether it has a seal, without which it is not finished.
    """

    path: str
    stage: str
    bytes: int
    seconds: float
    run: str = ""
    updates: int = 0
    sealed: bool = True


def files_of(
    study: Study, experiments: Iterable[str] | None = None, claims: Collection[Claim] = ()
) -> list[File]:
    """Return what experiments and claims on them need and draw, each once, in the data's way.

    Without experiments, what the whole study does: besides them it has models, which are of none.
    """
    files = list(_of_models(study)) if experiments is None else []
    files += [
        file
        for name in (study.experiments if experiments is None else experiments)
        for file in (
            *_texts(study, study.experiments[name].members),
            *_records(study, study.experiments[name].members),
            *_analyses(study, name, claims),
            *_of_recordings(study, name),
            *_figures(study, name),
        )
    ]
    once = {file.path: file for file in files}.values()
    return sorted(once, key=lambda file: STAGES.index(file.stage))


def _texts(study: Study, members: Sequence[Member]) -> Iterator[File]:
    for name in dict.fromkeys(study.runs[member.run].vocabulary for member in members):
        vocabulary = study.vocabularies[name]
        trained_on = sum(study.corpora[corpus].size for corpus in vocabulary.tokenizer_corpora)
        text = study.corpora[vocabulary.training_corpus].size
        for corpus in (*vocabulary.tokenizer_corpora, vocabulary.training_corpus):
            size = study.corpora[corpus].size
            yield File(f"corpora/{corpus}/text.txt", "text", size, CORPUS_SECONDS)
        encoded = {"tokenizer.json": trained_on, "stream.nc": text, "census.nc": 0}
        for file, length in encoded.items():
            size = vocabulary_bytes(file, vocabulary.size, text)
            path = f"vocabularies/{name}/{file}"
            yield File(path, "text", size, encoding_seconds(length))


def _records(study: Study, members: Sequence[Member]) -> Iterator[File]:
    """Yield the segments of runs, and the checkpoints that are made with them."""
    for member in members:
        run, spec, tokens = member.run, study.runs[member.run], study.tokens(member.run)
        size, state = predicted_bytes(spec, tokens), checkpoint_bytes(spec, tokens)
        seconds, updates = training_seconds(spec, tokens), spec.record.segment
        for number in study.segments(run, member.steps):
            segment = f"runs/{run}/trajectory/{layout.segment_name(number)}"
            checkpoint = f"runs/{run}/checkpoints/checkpoint-{number:03d}.safetensors"
            yield File(segment, "training", size, seconds, run, updates)
            yield File(checkpoint, "training", state, 0.0, run)


def _analyses(study: Study, experiment: str, claims: Collection[Claim]) -> Iterator[File]:
    """Yield the derived files that the experiment's figures are drawn from, or claims speak of."""
    for source, files in needed_files(study, experiment, claims):
        if source.scope is Scope.VOCABULARIES:  # they are made with the runs' texts
            continue
        stage = source.file.partition(".")[0]
        for path, member in files.items():
            spec = study.runs[member.run]
            updates = {
                Scope.RUNS: member.steps,
                Scope.FIRST_RUN: 0,
                Scope.FIRST_BENCHMARK: min(BENCHMARK_UPDATES, spec.record.segment),
                Scope.EXPERIMENT: 0,
            }[source.scope]
            run = "" if source.scope is Scope.EXPERIMENT else member.run
            sizes = stage, spec, study.tokens(member.run), updates
            yield File(path, stage, analysis_bytes(*sizes), analysis_seconds(*sizes), run)


def _of_recordings(study: Study, experiment: str) -> Iterator[File]:
    """Yield the derived files of recordings that the experiment's figures are drawn from."""
    for path, (source, name) in needed_of_recordings(study, experiment).items():
        stage, contents = source.file.partition(".")[0], study.recordings[name].contents
        size, seconds = (of(stage, contents) for of in (bytes_of_recording, seconds_of_recording))
        yield File(path, stage, size, seconds)


def _of_models(study: Study) -> Iterator[File]:
    """Yield pinned models, what is found in each model, and the figures of that."""
    pictures = [f"models/{CLOUDS}.png"] if len(censuses(study)) > 1 else []
    for name, model in models_of(study).items():
        if model.source:
            yield _unsealed(f"weights/{model.source}", "models", model.bytes, FETCH_SECONDS)
        for matrix in model.matrices:
            folder = f"models/{name}/{matrix}"
            size, seconds = examination_bytes(model.shape[0]), examination_seconds(*model.shape)
            yield File(f"{folder}/census.nc", "models", size, seconds)
            pictures += [f"{folder}/{figure}.png" for figure in OF_CENSUSES]
    for path in pictures:
        yield _unsealed(path, "models", FIGURE_BYTES, FIGURE_SECONDS)


def _figures(study: Study, experiment: str) -> Iterator[File]:
    names = [f"{figure}.png" for figure in drawn_figures(study, experiment)]
    if study.experiments[experiment].draws(ANIMATION):
        names.append("drift.gif")
    for name in names:
        path = f"figures/{experiment}/{name}"
        yield _unsealed(path, "figures", FIGURE_BYTES, FIGURE_SECONDS)


def _unsealed(path: str, stage: str, size: int, seconds: float) -> File:
    return File(path, stage, size, seconds, sealed=False)
