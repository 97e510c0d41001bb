"""Models that a configuration names, whose embeddings are examined: of others, and of trainings."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.matrices.sources import WEIGHTS
from deadtokens.study.config import Examined, flatten
from deadtokens.study.estimates import USUAL_SHAPE, likely_shape
from deadtokens.study.members import members_with
from deadtokens.study.study import Member, Study
from deadtokens.study.validation import require

W = "W"  # the matrix of a record
LISTED = 4  # runs in a sentence
DOWNLOADED = "results/weights"  # where pinned models lie
DERIVED = "results/models"  # what is made of models; an archive names it in the place of a file
OF_A_MODEL = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".json", ".txt")  # in its folder


@dataclass(frozen=True)
class ExaminedModel:
    """A model as a study sees it.

    Attributes
    ----------
    files : tuple of str
        Paths of what is read of it; it is examined again when one of them is newer. None where only
        what was made of it is here.
    arguments : tuple of str
        Of the command that examines it, without the matrix.
    matrices : tuple of str
        Which are examined: 'W' is that of a record.
    source : str
        The pinned model that is downloaded first; '' if none is.
    bytes : int
        Of the model's files, if that is known before anything is made.
    shape : tuple of int
        Rows and width of a matrix of it, roughly.
    member : Member or None
        The run of the study whose record it is; its segments are no `files`.
    recording : str
        Name of the recording that it is, '' if it is none.
    is_elsewhere : bool
        Whether it cannot be read here: an archive has what was made of it alone.
    """

    files: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    matrices: tuple[str, ...] = (W,)
    source: str = ""
    bytes: int = 0
    shape: tuple[int, int] = USUAL_SHAPE
    member: Member | None = None
    recording: str = ""
    is_elsewhere: bool = False

    @property
    def origin(self) -> str:
        """Whose matrix it is: a path, a run's name, or an entry of `recorded`."""
        if self.member:
            return self.member.run
        return f"recorded.{self.recording}" if self.recording else self.arguments[0]


@cache
def models_of(study: Study) -> dict[str, ExaminedModel]:
    """Return the models of a study by name.

    Raises
    ------
    UserError
        If a file or folder is not there, or an experiment, its run or a recording.
    """
    return {
        name: _resolve(f"models.{name}", entry, study) for name, entry in study.examined.items()
    }


def censuses(study: Study) -> dict[str, ExaminedModel]:
    """Return what is found in each matrix, by its path below the results, and whose it is."""
    return {
        f"models/{name}/{matrix}/census.nc": model
        for name, model in models_of(study).items()
        for matrix in model.matrices
    }


def _resolve(where: str, entry: Examined, study: Study) -> ExaminedModel:
    """Return the model that an entry of the configuration names, at its place there."""
    if entry.experiment is not None:
        member = _run(where, entry, study)
        shape = study.tokens(member.run), study.runs[member.run].width
        return ExaminedModel(member=member, shape=shape)
    if entry.recorded is not None:
        require(study.recordings, entry.recorded, f"{where}.recorded", "recorded")
        recording = study.recordings[entry.recorded]
        return ExaminedModel(
            recording=entry.recorded,
            shape=(recording.contents.rows, recording.contents.width),
            is_elsewhere=recording.is_elsewhere,
        )
    return _in_files(where, entry)


def _run(where: str, entry: Examined, study: Study) -> Member:
    """Return the one run of an experiment that has the settings of an entry."""
    require(study.experiments, entry.experiment, f"{where}.experiment", "experiments")
    wanted = flatten(entry.run)
    identities = {name: identity for identity, name in study.called.items()}
    if "vocabulary" in wanted:
        wanted["vocabulary"] = identities.get(wanted["vocabulary"], wanted["vocabulary"])
    found = [one.member for one in members_with(study, entry.experiment, wanted)]
    if len(found) == 1:
        return found[0]
    those = found or study.experiments[entry.experiment].members
    raise UserError(
        f"{where}.run: {len(found) or 'no'} runs of {entry.experiment} have these settings; give "
        f"those of one, `seed` and `steps` among them: {_listed(those)}"
    )


def _listed(members: Sequence[Member]) -> str:
    names = [f"{member.run} ({member.steps:,} updates)" for member in members]
    rest = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest


def _in_files(where: str, entry: Examined) -> ExaminedModel:
    path = entry.path or f"{DOWNLOADED}/{entry.source}"
    files = [path] if entry.source else _files_of(where, path)
    arguments = [path]
    if entry.tokenizer and files:
        if not Path(entry.tokenizer).is_file():
            raise UserError(
                f"{where}.tokenizer: {entry.tokenizer!r} is no file; looked for "
                f"{Path(entry.tokenizer).absolute()}"
            )
        files.append(entry.tokenizer)
        arguments += ["--tokenizer", entry.tokenizer]
    for key in ("embedding", "unembedding"):
        if name := getattr(entry, key):
            arguments += [f"--{key}", name]
    about = tuple(files), tuple(arguments), tuple(dict.fromkeys(entry.matrices))
    if entry.source:
        pinned = WEIGHTS[entry.source]
        return ExaminedModel(*about, entry.source, pinned.bytes, pinned.shape)
    size = sum(os.path.getsize(file) for file in files if os.path.exists(file))
    return ExaminedModel(*about, bytes=size, shape=likely_shape(size), is_elsewhere=not files)


def _files_of(where: str, path: str) -> list[str]:
    """Return the file of a model, or those in its folder that can be its own.

    None of a folder of the results, which has what was made of a model.
    """
    place = Path(path)
    if place.is_file():
        return [path]
    found = _models_in(place) if place.is_dir() else []
    if found or place.parent == Path(DERIVED):
        return found
    if not place.is_dir():
        raise UserError(
            f"{where}.path: {path!r} is neither a file nor a folder; looked for {place.absolute()}"
        )
    raise UserError(
        f"{where}.path: {path!r} has no file of a model ({', '.join(OF_A_MODEL[:5])}); give its "
        "file, or the folder that has it"
    )


def _models_in(folder: Path) -> list[str]:
    return sorted(str(file) for file in folder.iterdir() if file.suffix in OF_A_MODEL)
